"""The base of every JAX component: a network's weights in their place, and its programs."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Self

import jax.numpy as jnp

from kandinsky_backend_kit.adapted_network import AdaptedNetwork
from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_core.seam.device_memory import DeviceMemory
from kandinsky_core.seam.devices import DeviceName
from kandinsky_core.seam.dtypes import DTypeName, safe_dtype
from kandinsky_core.seam.network_pickling import KEPT
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.components.turns import Holder, Turns
from kandinsky_jax.placement.memory import device_memory
from kandinsky_jax.placement.places import OneDevice, Place, Weights
from kandinsky_jax.programs.program import Program
from kandinsky_jax.runtime import at_work
from kandinsky_jax.weights.later_weights import LaterWeights
from kandinsky_jax.weights.network_form import NetworkForm, jax_dtype
from kandinsky_jax.weights.quantized import steps_of
from kandinsky_jax.weights.replace import read_weights, weight_shapes, with_weights

__all__ = ["JaxNetwork", "to_channels_first", "to_channels_last"]


class JaxNetwork(AdaptedNetwork):
    """Base of the components: moves, casts, offloads and replaces a network's weights.

    Args:
        form: The network.
        weights: Its weights, or what reads them when they are first used; within `compile_only`
            their shapes are enough.
        place: Where the weights lie.
        log: The backend's compilation log.
        programs: Compiled programs, shared by networks that differ in nothing except weights.
        turns: An object that offloaded networks share, so that only one is on a device at a time.
    """

    backend_name = "jax"

    def __init__(
        self,
        form: NetworkForm,
        weights: Weights | LaterWeights,
        *,
        place: Place,
        log: CompilationLog,
        programs: dict[Any, Program] | None = None,
        turns: Turns | None = None,
    ) -> None:
        super().__init__()
        self.config: Any = form.config
        self._form = form
        self._held = weights
        self._place = place
        self._log = log
        self._offloaded = False
        self._programs = {} if programs is None else programs
        self._turns = Turns() if turns is None else turns

    @property
    def _weights(self) -> Weights:
        return self._read_if_later()

    @_weights.setter
    def _weights(self, weights: Weights) -> None:
        self._held = weights

    def _read_if_later(self) -> Weights:
        held = self._held
        if not isinstance(held, LaterWeights):
            return held
        weights = held.read()
        if self._held is held:  # else another thread was here first, or has replaced weights
            self._held = self._place.get(weights) if self._offloaded else weights
        return self._read_if_later()

    def _weights_or_shapes(self) -> Weights:
        """Return the weights, or their shapes where they were not read yet."""
        later = isinstance(self._held, LaterWeights)
        return self._form.abstract() if later else self._weights

    def require_weights(self, tensors: Tensors) -> None:
        """Read the weights, as a backend does after it has made the network.

        Args:
            tensors: The checkpoint. A network that knows it may do without them for now.

        Raises:
            CheckpointError: See `kandinsky_jax.weights.load.load_weights`.
        """
        self._read_if_later()

    def __reduce__(self) -> Any:
        if not isinstance(self._place, OneDevice):
            raise InvalidInputError(
                f"a network over a mesh ({self.device}) is not pickled: load it in each process"
            )
        return super().__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy what may change; JAX's arrays and programs do not, so both networks share them."""
        made = object.__new__(type(self))
        memo[id(self)] = made
        kept = {name: deepcopy(vars(self)[name], memo) for name in KEPT if name in vars(self)}
        vars(made).update(vars(self) | kept)
        return made

    @property
    def dtype(self) -> str:
        """Name of the dtype that the network computes in."""
        return DTypeName(self._form.dtype)

    @property
    def quantize(self) -> str | None:
        """How weights are kept that need not be kept in the dtype; None keeps all in it."""
        return self._form.quantize

    @property
    def device(self) -> str:
        """Where the network runs."""
        return DeviceName(self._place.name)

    def memory(self) -> DeviceMemory | None:
        """Return the memory of the device; None for a mesh."""
        place = self._place
        return device_memory(place.device) if isinstance(place, OneDevice) else None

    @property
    def compilations(self) -> CompilationLog:
        """The backend's log."""
        return self._log

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Move or cast the weights; compiled programs are forgotten where they no longer fit.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: The weights lie over a mesh, and this is another device.
        """
        with at_work(self.device):
            self._move(device, dtype)

    def _move(self, device: str | None, dtype: str | None) -> None:
        place = self._place if device is None else self._place.moved(device)
        dtype = self.dtype if dtype is None else safe_dtype(self.config.CLASS_NAME, dtype)
        if place != self._place or dtype != self.dtype:
            self._read_if_later()  # first, as it may fail
        if place != self._place:
            self._place = place
            self._programs = {}
            if not self._offloaded:
                self._weights = place.put_weights(self._weights)
        if dtype != self.dtype:
            self._form = replace(self._form, dtype=dtype)
            chosen, eight = jax_dtype(dtype), self._form.in_eight_bits()
            kept = eight | set(map(steps_of, eight))
            self._weights = {
                name: leaf if name in kept else leaf.astype(chosen)
                for name, leaf in self._weights.items()
            }
            self._programs = {}

    def offload(self) -> None:
        """Keep the weights on the host from now on."""
        self._offloaded = True
        if compiling_only() or isinstance(self._held, LaterWeights):  # there may be no values
            return
        with at_work(self.device):
            self._weights = self._place.get(self._weights)
        gc.collect()  # what was traced may refer to itself, and to the weights that it saw

    def onload(self) -> None:
        """Keep the weights on the device from now on."""
        if not self._offloaded:
            return
        self._offloaded = False
        if not compiling_only() and not isinstance(self._held, LaterWeights):
            with at_work(self.device):
                self._weights = self._place.put_weights(self._weights)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the bytes of all weights, the steps of those in 8 bits included.

        Args:
            return_buffers: Has no effect: no network has buffers.
        """
        return sum(leaf.size * leaf.dtype.itemsize for leaf in self._weights_or_shapes().values())

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See `kandinsky_core.seam.networks.Network.weight_shapes`."""
        return weight_shapes(self._weights_or_shapes())

    def read_weights(self, names: Iterable[str]) -> dict[str, Array]:
        """See `kandinsky_core.seam.networks.Network.read_weights`."""
        with at_work(self.device):
            return read_weights(self._weights, names, self._place.get, jax_dtype(self.dtype))

    def _write_weights(self, values: Mapping[str, Array]) -> None:
        def place(leaf: str, array: Array) -> Any:
            return array if self._offloaded else self._place.put_weight(leaf, array)

        with at_work(self.device):
            self._weights = with_weights(self._weights, values, place)

    def placed_weights(self, holder: Holder | None = None) -> Weights:
        """Return the weights in place; with offloading, a copy on the device for as long as needed.

        Within `compile_only` it returns their shapes, which are enough to compile.

        Args:
            holder: The run that keeps this copy for longer than a call, until it is told to leave.
        """
        if compiling_only():
            return self._place.shapes(self._weights_or_shapes())
        if not self._offloaded:
            return self._weights
        self._turns.take(self._place.name, holder)
        return self._place.put_weights(self._weights)


def to_channels_last(array: Any) -> Any:
    """Turn B C H W into B H W C; arrays of other ranks stay as they are."""
    return jnp.transpose(array, (0, 2, 3, 1)) if array.ndim == 4 else array


def to_channels_first(array: Any) -> Any:
    """Turn B H W C into B C H W; arrays of other ranks stay as they are."""
    return jnp.transpose(array, (0, 3, 1, 2)) if array.ndim == 4 else array
