"""Configs of the CLIP encoders that transformers saves.

Old versions of transformers write every field of their base class. Newer versions write only the
fields that differ from its defaults, so the defaults here are transformers' own. The base class's
fields concern text generation and training; they are ignored by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.rules import COUNT, EPSILON, SIZE, TOKEN_ID, one_of

__all__ = ["GENERIC_FIELDS", "CLIPTextConfig", "CLIPVisionConfig"]

# Every field that transformers 4.24 to 5.23 write for any model, and the fields about training.
GENERIC_FIELDS = frozenset(
    [
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "add_cross_attention",
        "architectures",
        "attention_dropout",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dropout",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "id2label",
        "initializer_factor",
        "initializer_range",
        "is_decoder",
        "is_encoder_decoder",
        "label2id",
        "length_penalty",
        "max_length",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "pad_token_id",
        "prefix",
        "problem_type",
        "pruned_heads",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tie_word_embeddings",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
    ]
)
_ACTIVATIONS = one_of("gelu", "quick_gelu")


class _CLIPEncoderConfig(NetworkConfig):
    __slots__ = ()

    hidden_size: int
    num_attention_heads: int

    def _check_together(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise self._refuse(
                "num_attention_heads", f"a divisor of hidden_size, which is {self.hidden_size}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CLIPTextConfig(_CLIPEncoderConfig):
    """Config of CLIP's text encoder with its projection into the space shared with images."""

    CLASS_NAME: ClassVar[str] = "CLIPTextModelWithProjection"
    FIXED: ClassVar[Mapping[str, object]] = {"model_type": "clip_text_model"}
    IGNORED: ClassVar[frozenset[str]] = GENERIC_FIELDS

    vocab_size: int = spec(SIZE, 49408)
    hidden_size: int = spec(SIZE, 512)
    intermediate_size: int = spec(SIZE, 2048)
    projection_dim: int = spec(SIZE, 512)
    num_hidden_layers: int = spec(COUNT, 12)
    num_attention_heads: int = spec(SIZE, 8)
    max_position_embeddings: int = spec(SIZE, 77)
    hidden_act: str = spec(_ACTIVATIONS, "quick_gelu")
    layer_norm_eps: float = spec(EPSILON, 1e-5)
    eos_token_id: int = spec(TOKEN_ID, 49407)


@dataclass(frozen=True, kw_only=True, slots=True)
class CLIPVisionConfig(_CLIPEncoderConfig):
    """Config of CLIP's image encoder with its projection into the space shared with text."""

    CLASS_NAME: ClassVar[str] = "CLIPVisionModelWithProjection"
    FIXED: ClassVar[Mapping[str, object]] = {"model_type": "clip_vision_model"}
    IGNORED: ClassVar[frozenset[str]] = GENERIC_FIELDS | {"eos_token_id"}

    hidden_size: int = spec(SIZE, 768)
    intermediate_size: int = spec(SIZE, 3072)
    projection_dim: int = spec(SIZE, 512)
    num_hidden_layers: int = spec(COUNT, 12)
    num_attention_heads: int = spec(SIZE, 12)
    num_channels: int = spec(SIZE, 3)
    image_size: int = spec(SIZE, 224)
    patch_size: int = spec(SIZE, 32)
    hidden_act: str = spec(_ACTIVATIONS, "quick_gelu")
    layer_norm_eps: float = spec(EPSILON, 1e-5)

    def _check_together(self) -> None:
        _CLIPEncoderConfig._check_together(self)  # slots=True makes a new class: no super()
        if self.image_size % self.patch_size:
            raise self._refuse("patch_size", f"a divisor of image_size, which is {self.image_size}")
