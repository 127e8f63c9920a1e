"""Places for networks on TPUs that are not there: arguments are shapes, and nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from kandinsky_jax.placement.mesh import DATA_AXIS
from kandinsky_jax.placement.mesh_place import OverMesh
from kandinsky_jax.placement.places import Batch, OneDevice
from kandinsky_jax.placement.sharding import MODEL_AXIS
from kandinsky_jax.programs import program

__all__ = ["TOPOLOGIES", "FarDevice", "FarMesh", "far_place", "shapes_for_results"]

# Four chips of each kind, the fewest that such machines have in common.
TOPOLOGIES = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}


def far_place(chip: str, axis: str | None = None) -> FarDevice | FarMesh:
    """Return a place on one chip, or over four along `data` or `model`.

    Raises:
        RuntimeError: There is no libtpu, or it does not know the chip.
    """
    devices = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[chip]).devices
    if axis is None:
        return FarDevice(devices[0])
    shape = (len(devices), 1) if axis == DATA_AXIS else (1, len(devices))
    axes = (DATA_AXIS, MODEL_AXIS)
    mesh = Mesh(np.array(devices).reshape(shape), axes, axis_types=(AxisType.Auto,) * len(axes))
    return FarMesh(mesh)


def shapes_for_results() -> Any:
    """Return a context in which programs that only compile give shapes in place of zeros."""
    return mock.patch.object(program, "_zeros", lambda result: result)


class FarDevice(OneDevice):
    """One chip that is not there."""

    __slots__ = ()

    def put(self, array: Any) -> Any:
        """Keep what stays on the host; `arrange` says where it would lie."""
        return array

    def arrange(self, arguments: tuple[Any, ...], shared: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the arguments' shapes on the chip."""
        sharding = SingleDeviceSharding(self.device)
        return _shaped(arguments, lambda leaf: (leaf.shape, sharding))

    def read(self, array: Any) -> Any:
        """Return zeros in place of a result."""
        return np.zeros(array.shape, array.dtype)


class FarMesh(OverMesh):
    """Chips that are not there, over which weights or pictures are divided."""

    __slots__ = ()

    def batch(self, first: Any) -> Batch:
        """Return how rows would lie here."""
        return _FarBatch(super().batch(first), NamedSharding(self.mesh, PartitionSpec()))


class _FarBatch:
    """Rows over a mesh, without values; all else is done by the batch that it stands for."""

    def __init__(self, batch: Any, whole: NamedSharding) -> None:
        self._batch = batch
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def put(self, array: Any) -> Any:
        """See `FarDevice.put`."""
        return array

    def arrange(self, arguments: tuple[Any, ...], shared: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the arguments' shapes on the chips, with a row on each of them at least."""

        def rows(leaf: Any) -> tuple[tuple[int, ...], Any]:
            return leaf.shape, self._batch._rows

        def whole(leaf: Any) -> tuple[tuple[int, ...], Any]:
            return leaf.shape, self._whole

        return tuple(
            _shaped(argument, whole if place in shared else rows)
            for place, argument in enumerate(arguments, start=1)
        )

    def read(self, array: Any) -> Any:
        """See `FarDevice.read`."""
        return np.zeros(array.shape, array.dtype)


def _shaped(tree: Any, place: Callable[[Any], tuple[tuple[int, ...], Any]]) -> Any:
    def shaped(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):  # a result of another program, in its place
            return leaf
        shape, sharding = place(leaf)
        return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(shaped, tree)
