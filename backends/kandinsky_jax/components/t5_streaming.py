"""Reads T5 block by block from its files: encoding needs the memory of one block, not of 32.

A block of the published model has 268 million parameters, 0.5 GB in bfloat16. Measured on a CPU
with all 32 of them (`benchmarks/t5_streaming.py`): 1.7 GiB at the peak besides the page cache.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from kandinsky_backend_kit.streamed_weights import StreamedWeights
from kandinsky_backend_kit.t5_parts import T5Parts
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import T5Config
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_core.seam.devices import DeviceName
from kandinsky_core.seam.dtypes import DTypeName, safe_dtype
from kandinsky_jax.placement.places import Batch, Place, Weights
from kandinsky_jax.programs.program import Program
from kandinsky_jax.runtime import at_work
from kandinsky_jax.weights.load import load_weights
from kandinsky_jax.weights.network_form import NetworkForm, jax_dtype

__all__ = ["StreamedT5TextEncoder"]

_BLOCK = "kandinsky_jax.networks.t5_encoder:t5_block"


class StreamedT5TextEncoder(StreamedWeights):
    """A `kandinsky_core.seam.networks.T5TextEncoder` that holds no weights between calls.

    Each call reads all files once: several prompts in one call cost hardly more than one.

    Args:
        parts: The checkpoint.
        config: Its config.
        dtype: The dtype of the computation; each block is cast to it when it is read.
        place: Where one block at a time is placed.
        log: The backend's compilation log.
        quantize: How weights are kept that need not be kept in the dtype; None keeps all in it.
    """

    backend_name = "jax"

    def __init__(
        self,
        parts: T5Parts,
        config: T5Config,
        *,
        dtype: str,
        place: Place,
        log: CompilationLog,
        quantize: str | None = None,
    ) -> None:
        self.config = config
        self.quantize = quantize
        self.dtype = DTypeName(dtype)
        self._parts = parts
        self._place = place
        self._log = log
        self._program: Program | None = None

    @property
    def device(self) -> str:
        """Where the blocks run."""
        return DeviceName(self._place.name)

    @property
    def compilations(self) -> CompilationLog:
        """The backend's log."""
        return self._log

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Change the device, or the dtype, of the next call.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: The blocks run over a mesh, and this is another device.
        """
        if device is not None:
            self._place = self._place.moved(device)
        if dtype is not None:
            self.dtype = DTypeName(safe_dtype(self.config.CLASS_NAME, dtype))
        self._program = None

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """See `kandinsky_core.seam.networks.T5TextEncoder.encode`."""
        rounded = self.quantize is not None
        states = self._parts.embed(input_ids, jax_dtype(self.dtype), eight_bits=rounded)
        biases = self._parts.score_bias(attention_mask)
        with at_work(self.device):
            # One text at a time, so that one program serves any number of them.
            batch = self._place.batch(states[:1])
            rows = [batch.put(row) for row in states[:, None]]
            added = [batch.put(row) for row in biases[:, None]]
            for index in range(self.config.num_layers):
                rows = self._apply_block(index, batch, rows, added)
            return self._parts.normalise(np.concatenate([batch.read(row) for row in rows]))

    def _apply_block(
        self, index: int, batch: Batch, rows: list[jax.Array], biases: list[jax.Array]
    ) -> list[jax.Array]:
        """Load a block, call it for each text, and drop it."""
        weights = self._load(index)
        if self._program is None:
            run = partial(_run_block, self._block())
            self._program = Program("T5TextEncoder.block", run, self._log)
        program = self._program
        # It waits for each result, or the next block would come before this one is gone.
        done = [
            jax.block_until_ready(program(batch, weights, row, bias))
            for row, bias in zip(rows, biases, strict=True)
        ]
        if not compiling_only():  # else the leaves are shapes
            for leaf in weights.values():
                leaf.delete()  # the next block needs the room, whoever refers to this one
        return done

    def _load(self, index: int) -> Weights:
        """Read a block's weights; to compile without running, their shapes are enough."""
        if compiling_only():
            return self._place.shapes(self._block().abstract())
        return load_weights(self._block(), self._parts.block(index), self._place)

    def _block(self) -> NetworkForm:
        return NetworkForm(
            _BLOCK, self.config, str(self.dtype), whole=False, quantize=self.quantize
        )


def _run_block(form: NetworkForm, weights: Any, x: Any, bias: Any) -> Any:
    return form.build(weights)(x, bias)
