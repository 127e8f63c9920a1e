"""Says where a network lies and its programs run: one device here, many in `mesh_place`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_jax.layers.platforms import Target
from kandinsky_jax.placement.devices import compute_capability, device_name, find_device

__all__ = ["Batch", "OneDevice", "Place", "Weights", "device_target", "leaf_of"]

Weights = dict[str, Any]
"""A network's parameters by their names in a file for JAX: arrays, or their shapes alone."""


def leaf_of(name: str) -> str:
    """Return the last part of a weight's name, which tells the kind of weight."""
    return name.rpartition(".")[2]


def device_target(device: jax.Device, *, whole: bool = True) -> Target:
    """Return what a program for a device is traced for."""
    return Target(device.platform, compute_capability(device), whole)


class Batch(Protocol):
    """How the rows of one run, or of one call, lie on the devices."""

    @property
    def split(self) -> bool:
        """Whether each device has rows of its own; such rows need another program."""
        ...

    @property
    def target(self) -> Target:
        """What programs for these rows are traced for."""
        ...

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """The devices that a program runs on."""
        ...

    @property
    def description(self) -> tuple[str, ...]:
        """All of this batch that changes a program; the same text in every process."""
        ...

    def put(self, array: Array) -> Any:
        """Bring an array's rows to their devices: one row a picture, or several such parts."""
        ...

    def arrange(self, arguments: tuple[Any, ...], shared: tuple[int, ...]) -> tuple[Any, ...]:
        """Bring a program's arguments from the host to their devices; some may be there already.

        Args:
            arguments: All arguments except the weights.
            shared: Positions of the arguments that all rows share; the weights have position 0.
        """
        ...

    def jit(
        self, function: Callable[..., Any], shared: tuple[int, ...], donate: tuple[int, ...]
    ) -> Any:
        """Return `jax.jit` of a function that takes weights and more, and returns rows."""
        ...

    def read(self, array: jax.Array) -> Array:
        """Return the rows of a result."""
        ...


class Place(Protocol):
    """Where a network lies."""

    @property
    def name(self) -> str:
        """The place's name for people: `cpu`, `gpu:0`, `gpu x 8 (data=4, model=2)`."""
        ...

    @property
    def target(self) -> Target:
        """What programs are traced for that have rows for all devices."""
        ...

    def moved(self, device: str) -> Place:
        """Return the place that a device's name stands for.

        Raises:
            BackendUnavailableError: The device is not there.
            InvalidInputError: The network lies over a mesh and cannot be moved.
        """
        ...

    def put_weight(self, leaf: str, array: Array) -> jax.Array:
        """Bring one weight here; `leaf` is the last part of its name."""
        ...

    def put_weights(self, state: Weights) -> Weights:
        """Bring a network's weights here from the host."""
        ...

    def shapes(self, state: Weights) -> Weights:
        """Return a network's weights as they would lie here, without their values."""
        ...

    def get(self, tree: Any) -> Any:
        """Copy weights to the host."""
        ...

    def batch(self, first: Array) -> Batch:
        """Return how rows lie here; `first` is an array with one row for each picture."""
        ...


@dataclass(frozen=True, slots=True)
class OneDevice:
    """One device, which is a place and also every batch there, because nothing is divided."""

    device: jax.Device
    split: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """See `Place.name`."""
        return device_name(self.device)

    @property
    def target(self) -> Target:
        """See `Place.target` and `Batch.target`."""
        return device_target(self.device)

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """See `Batch.devices`."""
        return (self.device,)

    @property
    def description(self) -> tuple[str, ...]:
        """See `Batch.description`."""
        return ("one device", str(self.device.id))

    def moved(self, device: str) -> Place:
        """See `Place.moved`."""
        return OneDevice(find_device(device))

    def put_weight(self, leaf: str, array: Array) -> jax.Array:
        """See `Place.put_weight`."""
        return self.put(array)

    def put_weights(self, state: Weights) -> Weights:
        """See `Place.put_weights`."""
        placed: Weights = jax.device_put(state, self.device)
        return placed

    def shapes(self, state: Weights) -> Weights:
        """See `Place.shapes`."""
        sharding = jax.sharding.SingleDeviceSharding(self.device)
        return {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
            for name, array in state.items()
        }

    def get(self, tree: Any) -> Any:
        """See `Place.get`."""
        return jax.device_get(tree)

    def batch(self, first: Array) -> Batch:
        """See `Place.batch`."""
        return self

    def put(self, array: Array) -> jax.Array:
        """See `Batch.put`."""
        placed: jax.Array = jax.device_put(array, self.device)
        return placed

    def arrange(self, arguments: tuple[Any, ...], shared: tuple[int, ...]) -> tuple[Any, ...]:
        """See `Batch.arrange`; JAX itself brings the arguments to the device."""
        return arguments

    def jit(
        self, function: Callable[..., Any], shared: tuple[int, ...], donate: tuple[int, ...]
    ) -> Any:
        """See `Batch.jit`."""
        return jax.jit(function, donate_argnums=donate)

    def read(self, array: jax.Array) -> Array:
        """See `Batch.read`."""
        return np.asarray(array)
