"""The base of every MindSpore component: a filled network of mindone on the device."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import mindspore as ms
import numpy as np

from kandinsky_backend_kit.adapted_network import AdaptedNetwork
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.device_memory import DeviceMemory
from kandinsky_core.seam.devices import DeviceName
from kandinsky_core.seam.dtypes import DTypeName, dtype_name
from kandinsky_mindspore.components.turns import OffloadedWeights, Turn
from kandinsky_mindspore.networks.attention import choose_attention
from kandinsky_mindspore.placement.devices import network_dtype, select_device
from kandinsky_mindspore.placement.memory import device_memory
from kandinsky_mindspore.programs.kernels import KERNELS
from kandinsky_mindspore.runtime import LOCK
from kandinsky_mindspore.weights.replace import read_weights, weight_shapes, write_weights

__all__ = ["MindSporeNetwork", "to_numpy"]

logger = logging.getLogger(__name__)


class MindSporeNetwork(AdaptedNetwork):
    """Base of the components: casts, offloads and replaces a network's weights.

    Args:
        cell: The filled network.
        config: Its config.
        device: Where MindSpore computes.
        log: Where compilations are recorded; None runs everything eagerly.
        turn: An object that offloaded networks share, so that only one is on the device at a time.

    Attributes:
        quantize: How weights are kept that need not be kept in the dtype; None keeps all in it.
    """

    backend_name = "mindspore"
    quantize: str | None = None

    def __init__(
        self,
        cell: Any,
        config: Any,
        *,
        device: str,
        log: CompilationLog | None = None,
        turn: Turn | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self._cell = cell
        self._device = device
        self._log = log
        self._turn = turn or Turn()
        self._offloaded: OffloadedWeights | None = None
        kinds = (parameter.dtype for parameter in cell.get_parameters())
        self._dtype = dtype_name(next(kind for kind in kinds if kind != ms.int8))
        self._settle()

    @property
    def dtype(self) -> str:
        """Name of the dtype that the network computes in."""
        return DTypeName(self._dtype)

    @property
    def device(self) -> str:
        """Where the network runs."""
        return DeviceName(self._device)

    def memory(self) -> DeviceMemory | None:
        """Return the memory of the device; None where MindSpore does not tell it."""
        with LOCK:
            return device_memory(self._device)

    @property
    def compilations(self) -> CompilationLog | None:
        """The backend's log, or None if this network is not compiled."""
        return self._log

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Cast the weights; the device stays the one that the process has.

        Raises:
            BackendUnavailableError: Another device is asked for than the process has.
            InvalidInputError: The device cannot compute in this dtype, or weights in 8 bits have
                steps of another.
        """
        if device is not None:
            with LOCK:
                select_device(device)
        if dtype is not None:
            dtype = network_dtype(self.config.CLASS_NAME, dtype, self._device)
        if dtype is not None and dtype != self.dtype:
            if self.quantize is not None:
                raise InvalidInputError(
                    f"dtype={dtype!r}: this {self.config.CLASS_NAME} keeps its weights in "
                    f"{self.quantize}, rounded for {self.dtype}: load it again with that dtype"
                )
            with LOCK:
                for parameter in self._cell.get_parameters():
                    parameter.set_dtype(getattr(ms, dtype))
                self._dtype = dtype
                self._settle()
                if self._offloaded is not None:
                    self._offloaded = OffloadedWeights(self._cell, self._device)

    def offload(self) -> None:
        """Keep the weights on the host from now on, and on the NPU only while they are used.

        They leave the NPU when another network's weights are used. On a CPU nothing changes. This
        has not yet run on an NPU.
        """
        if self._device == "cpu" or self._offloaded is not None:
            return
        with LOCK:
            if self._log is not None:
                logger.warning("an offloaded network is not compiled: a program keeps its weights")
                self._log = None
                self._settle()
            self._offloaded = OffloadedWeights(self._cell, self._device)

    def onload(self) -> None:
        """Keep the weights on the NPU from now on; the network stays without compilation.

        This has not yet run on an NPU.
        """
        if self._offloaded is None:
            return
        with LOCK:
            self._turn.take(self._offloaded)
            self._offloaded = None  # its turn ends with it, and the weights stay

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See `kandinsky_core.seam.networks.Network.weight_shapes`."""
        with LOCK:
            return weight_shapes(self._cell)

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """See `kandinsky_core.seam.networks.Network.read_weights`."""
        with LOCK:
            return read_weights(self._cell, names)

    def _write_weights(self, values: Mapping[str, Array]) -> None:
        with LOCK:
            write_weights(self._cell, values, self.dtype)
            if self._offloaded is not None:  # its copies on the host hold the old weights
                self._offloaded = OffloadedWeights(self._cell, self._device)

    def tensor(self, array: Array) -> Any:
        """Return a tensor on the device; floating point is cast to the network's dtype.

        Every use of the network begins with this call, so it also brings offloaded weights there.
        """
        with LOCK:
            KERNELS.meet((self.config.CLASS_NAME, self._dtype, np.shape(array)))
            if self._offloaded is not None:
                self._turn.take(self._offloaded)
            given = ms.Tensor(np.ascontiguousarray(array))
            return given.astype(getattr(ms, self.dtype)) if given.is_floating_point() else given

    def _settle(self) -> None:
        """Prepare all parts that depend on the dtype of the weights."""
        choose_attention(self._cell, self._device, self.dtype)


def to_numpy(tensor: Any) -> FloatArray:
    """Return a float32 copy: MindSpore's own view would change with the tensor."""
    return np.array(tensor.astype(ms.float32).asnumpy())
