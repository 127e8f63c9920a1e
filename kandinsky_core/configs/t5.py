"""Configs of T5's encoders: Flan-UL2's in Kandinsky 3, and mT5's in Kandinsky 2.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.clip import GENERIC_FIELDS
from kandinsky_core.configs.rules import COUNT, EPSILON, SIZE, one_of

__all__ = ["MT5Config", "T5Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class T5Config(NetworkConfig):
    """The encoder's config; field names, defaults and meanings are those of transformers' T5Config.

    `feed_forward_proj` has no default here. transformers' default is the form of the first T5, for
    which these networks are not written.
    """

    CLASS_NAME: ClassVar[str] = "T5EncoderModel"
    FIXED: ClassVar[Mapping[str, object]] = {"is_gated_act": True, "model_type": "t5"}
    # `dense_act_fn` repeats what `feed_forward_proj` says. The other fields concern the decoder,
    # training or generation.
    IGNORED: ClassVar[frozenset[str]] = GENERIC_FIELDS | {
        "classifier_dropout",
        "dense_act_fn",
        "dropout_rate",
        "eos_token_id",
        "n_positions",
        "num_decoder_layers",
        "output_past",
        "use_cache",
    }

    vocab_size: int = spec(SIZE, 32128)
    d_model: int = spec(SIZE, 512)
    d_kv: int = spec(SIZE, 64)
    d_ff: int = spec(SIZE, 2048)
    num_layers: int = spec(COUNT, 6)
    num_heads: int = spec(SIZE, 8)
    relative_attention_num_buckets: int = spec(SIZE, 32)
    relative_attention_max_distance: int = spec(SIZE, 128)
    layer_norm_epsilon: float = spec(EPSILON, 1e-6)
    feed_forward_proj: str = spec(one_of("gated-silu", "gated-gelu"))

    @property
    def inner_dim(self) -> int:
        """Width of queries, keys and values; it may differ from the width of the states."""
        return self.num_heads * self.d_kv

    def _check_together(self) -> None:
        buckets = self.relative_attention_num_buckets
        if buckets % 4:
            raise self._refuse(
                "relative_attention_num_buckets",
                "a multiple of 4: half for each direction, half of those for single distances",
            )
        if self.relative_attention_max_distance <= buckets // 4:
            raise self._refuse(
                "relative_attention_max_distance",
                f"more than {buckets // 4}, the distances that have a bucket of their own",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class MT5Config(T5Config):
    """The second text encoder of Kandinsky 2.0: the same network, trained in 101 languages."""

    CLASS_NAME: ClassVar[str] = "MT5EncoderModel"
    FIXED: ClassVar[Mapping[str, object]] = {**T5Config.FIXED, "model_type": "mt5"}
