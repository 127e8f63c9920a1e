"""Reads a checkpoint of T5's encoder part by part, so that a backend holds one block at a time.

The rest costs little and is computed here, in NumPy: the embedding of a text, the bias that all
blocks add to their scores, and the last norm.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kandinsky_backend_kit.quantized_rows import dequantized_rows, quantized_rows
from kandinsky_backend_kit.t5_positions import relative_buckets
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import account
from kandinsky_converters.layouts.layouts import Relabelled, with_layout
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import T5Config
from kandinsky_core.seam.tensors import Tensors

__all__ = ["T5Parts"]

_EMBEDDING = "shared.weight"
_NORM = "encoder.final_layer_norm.weight"
_TABLE = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_LOWEST = np.float32(-3e38)  # bfloat16 holds it too


class T5Parts:
    """A T5 checkpoint: hands out its blocks one by one, and computes what lies around them.

    Args:
        tensors: The checkpoint, in any layout.
        config: Its config.

    Attributes:
        tensors: The weights under PyTorch's names.

    Raises:
        CheckpointError: The checkpoint does not fit; no data has been read.
    """

    def __init__(self, tensors: Tensors, config: T5Config) -> None:
        tensors = with_layout(tensors, "diffusers")
        expected = expected_tensors(config.CLASS_NAME, dataclasses.asdict(config))
        found = account(config.CLASS_NAME, expected, tensors)
        names = {wanted: stored for stored, wanted in found.items()}
        self.tensors = Relabelled.renamed(tensors, names, "diffusers")
        self._config = config

    def embed(self, input_ids: Array, dtype: Any, *, eight_bits: bool = False) -> FloatArray:
        """Return a row of the embedding, rounded to `dtype`, for each id: [B, L] -> [B, L, H].

        With `eight_bits` a row is rounded to them first, as an encoder does that keeps the table.
        """
        rows = self.tensors.read(_EMBEDDING)[input_ids]
        if eight_bits:
            flat = rows.reshape(-1, rows.shape[-1])
            rows = dequantized_rows(*quantized_rows(flat)).reshape(rows.shape)
        return rows.astype(dtype).astype(np.float32)

    def score_bias(self, attention_mask: Array) -> FloatArray:
        """Return the bias of the scores of all blocks: [B, L], True on tokens -> [B, N, L, L].

        The bias is finite, so that scores of padding alone make equal weights.
        """
        table = self.tensors.read(_TABLE).astype(np.float32)  # [buckets, N]
        farthest = self._config.relative_attention_max_distance
        buckets = relative_buckets(attention_mask.shape[1], len(table), farthest)
        by_distance = table[buckets].transpose(2, 0, 1)[None]  # [1, N, L, L]
        hidden = np.where(attention_mask.astype(bool), np.float32(0), _LOWEST)[:, None, None]
        return np.asarray(by_distance + hidden, np.float32)

    def block(self, index: int) -> Tensors:
        """Return the tensors of a block by their names in it, without the table of distances."""
        prefix = f"encoder.block.{index}."
        names = [name for name in self.tensors.names() if name.startswith(prefix)]
        chosen = {name.removeprefix(prefix): name for name in names if name != _TABLE}
        return Relabelled.renamed(self.tensors, chosen, "diffusers")

    def normalise(self, states: FloatArray) -> FloatArray:
        """Apply the norm that follows the last block: [B, L, H] -> [B, L, H]."""
        power = np.square(states).mean(axis=-1, keepdims=True)
        scale = self.tensors.read(_NORM).astype(np.float32)
        normal = states / np.sqrt(power + self._config.layer_norm_epsilon) * scale
        return np.asarray(normal, np.float32)
