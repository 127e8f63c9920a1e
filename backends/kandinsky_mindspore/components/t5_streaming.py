"""Reads T5 block by block from its files: encoding needs the memory of one block, not of 32.

Measured on a CPU with all 32 blocks of the published size, in float32
(`benchmarks/t5_streaming.py`): 1.5 GiB at the peak besides the page cache.
"""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

import ml_dtypes
import numpy as np
from mindspore.nn.utils import no_init_parameters

from kandinsky_backend_kit.streamed_weights import StreamedWeights
from kandinsky_backend_kit.t5_parts import T5Parts
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import T5Config
from kandinsky_core.seam.devices import DeviceName
from kandinsky_core.seam.dtypes import DTypeName
from kandinsky_mindspore.components.network import to_numpy
from kandinsky_mindspore.components.turns import Turn
from kandinsky_mindspore.networks.eight_bits import keep_in_eight_bits, require_kernel
from kandinsky_mindspore.placement.devices import network_dtype, select_device
from kandinsky_mindspore.runtime import LOCK, load_mindspore, mindone_class, mindone_module
from kandinsky_mindspore.weights.load import fill_network

__all__ = ["StreamedT5TextEncoder"]


class StreamedT5TextEncoder(StreamedWeights):
    """A `kandinsky_core.seam.networks.T5TextEncoder` that holds no weights between calls.

    Each call reads all files once: several prompts in one call cost hardly more than one.

    Args:
        parts: The checkpoint.
        config: Its config.
        dtype: The dtype of the computation; each block is cast to it when it is read.
        device: Where MindSpore computes.
        turn: The turn of the offloaded networks; a call ends it before it loads a block.
        quantize: How weights are kept that need not be kept in the dtype; None keeps all in it.
    """

    backend_name = "mindspore"
    compilations = None

    def __init__(
        self,
        parts: T5Parts,
        config: T5Config,
        *,
        dtype: str,
        device: str,
        turn: Turn | None = None,
        quantize: str | None = None,
    ) -> None:
        self.config = config
        self.quantize = quantize
        self.dtype = DTypeName(dtype)
        self.device = DeviceName(device)
        self._parts = parts
        self._turn = turn or Turn()

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Change the dtype of the next call; the device stays the one that the process has.

        Raises:
            BackendUnavailableError: Another device is asked for than the process has.
            InvalidInputError: The device cannot compute in this dtype, or with weights in 8 bits.
        """
        if device is not None:
            with LOCK:
                select_device(device)
        if dtype is not None:
            chosen = network_dtype(self.config.CLASS_NAME, dtype, self.device)
            require_kernel(self.quantize, chosen, self.device)
            self.dtype = DTypeName(chosen)

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """See `kandinsky_core.seam.networks.T5TextEncoder.encode`."""
        rounded = ml_dtypes.bfloat16 if self.dtype == "bfloat16" else np.float32
        states = self._parts.embed(input_ids, rounded)
        bias = self._parts.score_bias(attention_mask)
        try:
            return self._parts.normalise(self._through_blocks(states, bias))
        finally:
            gc.collect()  # a cell refers to itself, and would keep the last block's weights

    def _through_blocks(self, states: FloatArray, bias: FloatArray) -> FloatArray:
        """Load each block in place of the block before, and call it."""
        ms = load_mindspore()
        kind = getattr(ms, self.dtype)
        with LOCK:
            self._turn.end()
            with no_init_parameters():
                block = _block(self.config)
            if self.quantize is not None:
                keep_in_eight_bits(block, self.config.CLASS_NAME)
            added = [ms.Tensor(row).astype(kind) for row in bias[:, None]]
            for index in range(self.config.num_layers):
                fill_network(block, self.config.CLASS_NAME, self._parts.block(index), self.dtype)
                rows = zip(states[:, None], added, strict=True)
                outputs = [block(ms.Tensor(row).astype(kind), position_bias=by) for row, by in rows]
                states = np.concatenate([to_numpy(output[0]) for output in outputs])
        return states


def _block(config: T5Config) -> Any:
    """Build one block of mindone; the table of the first block is added outside of it."""
    modeling = mindone_module("mindone.transformers.models.t5.modeling_t5")
    settings = mindone_class(config.CLASS_NAME).config_class(**dataclasses.asdict(config))
    block = modeling.T5Block(settings, has_relative_attention_bias=False, layer_idx=0)
    block.set_train(False)
    return block
