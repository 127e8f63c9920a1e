"""Config of the multilingual text encoder of Kandinsky 2.1: XLM-RoBERTa and a projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.clip import GENERIC_FIELDS
from kandinsky_core.configs.rules import COUNT, EPSILON, SIZE, TOKEN_ID, one_of

__all__ = ["MultilingualCLIPConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MultilingualCLIPConfig(NetworkConfig):
    """The encoder's config; field names and meanings are those of transformers' XLMRobertaConfig.

    Where a file omits `layer_norm_eps`, it is 1e-5, the value that XLM-RoBERTa was trained with;
    transformers' own default is 1e-12.
    """

    CLASS_NAME: ClassVar[str] = "MultilingualCLIP"
    FIXED: ClassVar[Mapping[str, object]] = {
        "model_type": "M-CLIP",
        "position_embedding_type": "absolute",
        "add_cross_attention": False,
        "is_decoder": False,
    }
    IGNORED: ClassVar[frozenset[str]] = GENERIC_FIELDS | {
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "eos_token_id",
        "hidden_dropout_prob",
        "imageDimSize",
        "modelBase",
        "output_past",
        "transformerDimSize",
        "use_cache",
    }

    vocab_size: int = spec(SIZE, 250002)
    hidden_size: int = spec(SIZE, 1024)
    intermediate_size: int = spec(SIZE, 4096)
    num_hidden_layers: int = spec(COUNT, 24)
    num_attention_heads: int = spec(SIZE, 16)
    max_position_embeddings: int = spec(SIZE, 514)
    type_vocab_size: int = spec(SIZE, 1)
    hidden_act: str = spec(one_of("gelu"), "gelu")
    layer_norm_eps: float = spec(EPSILON, 1e-5)
    pad_token_id: int = spec(TOKEN_ID, 1)
    transformerDimensions: int = spec(SIZE, 1024)
    numDims: int = spec(SIZE, 768)

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> MultilingualCLIPConfig:
        """See `NetworkConfig.from_dict`; a file may give two of the sizes under other names."""
        if isinstance(raw, Mapping):
            others = {
                "transformerDimensions": raw.get("transformerDimSize"),
                "numDims": raw.get("imageDimSize"),
            }
            raw = {**{name: size for name, size in others.items() if size is not None}, **raw}
        return super(MultilingualCLIPConfig, cls).from_dict(raw)

    def _check_together(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise self._refuse(
                "num_attention_heads", f"a divisor of hidden_size, which is {self.hidden_size}"
            )
        if self.transformerDimensions != self.hidden_size:
            raise self._refuse("transformerDimensions", f"hidden_size, which is {self.hidden_size}")
