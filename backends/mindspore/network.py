"""A filled network of mindone on the device: what every MindSpore component is made of."""

from __future__ import annotations

import logging
from typing import Any

import mindspore as ms
import numpy as np

from backends.mindspore.attention import choose_attention
from backends.mindspore.devices import check_dtype, select_device
from backends.mindspore.runtime import LOCK
from kandinsky_core.compilations import CompilationLog
from kandinsky_core.dtypes import dtype_name
from kandinsky_core.interfaces import Array, FloatArray

__all__ = ["MindSporeNetwork", "to_numpy"]

logger = logging.getLogger(__name__)


class MindSporeNetwork:
    """Base of the components.

    Args:
        cell: The filled network.
        config: Its config.
        device: Where MindSpore computes.
        log: Where compilations are recorded; None runs everything eagerly.
    """

    backend_name = "mindspore"

    def __init__(
        self, cell: Any, config: Any, *, device: str, log: CompilationLog | None = None
    ) -> None:
        self.config = config
        self._cell = cell
        self._device = device
        self._log = log
        self._dtype = dtype_name(next(iter(cell.get_parameters())).dtype)
        self._settle()

    @property
    def dtype(self) -> str:
        """Name of the dtype that the network computes in."""
        return self._dtype

    @property
    def device(self) -> str:
        """Where the network runs."""
        return self._device

    def to(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Cast the weights; the device is the process's.

        Raises:
            BackendUnavailableError: Another device is asked for than the process has.
            InvalidInputError: The device cannot compute in this dtype.
        """
        if device is not None:
            with LOCK:
                select_device(device)
        if dtype is not None and dtype != self.dtype:
            check_dtype(dtype, self._device)
            with LOCK:
                for parameter in self._cell.get_parameters():
                    parameter.set_dtype(getattr(ms, dtype))
                self._dtype = dtype
                self._settle()

    def offload(self) -> None:
        """Keep the weights on the host, where those of a CPU are; an NPU keeps them."""
        if self._device != "cpu":
            logger.warning("MindSpore cannot offload weights: they stay on %s", self._device)

    def tensor(self, array: Array) -> Any:
        """A tensor on the device; floating point in the dtype of the network."""
        with LOCK:
            given = ms.Tensor(np.ascontiguousarray(array))
            return given.astype(getattr(ms, self.dtype)) if given.is_floating_point() else given

    def _settle(self) -> None:
        """Prepare what depends on the dtype of the weights."""
        choose_attention(self._cell, self._device, self.dtype)


def to_numpy(tensor: Any) -> FloatArray:
    """A float32 copy: MindSpore's own view would change with the tensor."""
    return np.array(tensor.astype(ms.float32).asnumpy())
