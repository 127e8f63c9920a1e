"""Places a network over a mesh of devices.

Along the `data` axis each device has some of the pictures and runs the program of one device on
them (`jax.shard_map`), so that no device waits for another. The `model` axis splits the weights:
along it the compiler divides the program and puts in the communication.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_jax.layers.platforms import Target
from kandinsky_jax.placement.devices import device_platform
from kandinsky_jax.placement.mesh import DATA_AXIS, mesh_name
from kandinsky_jax.placement.places import Batch, Place, Weights, device_target, leaf_of
from kandinsky_jax.placement.sharding import MODEL_AXIS, weight_spec

__all__ = ["OverMesh"]

_WHOLE = PartitionSpec()


@dataclass(frozen=True, slots=True)
class OverMesh:
    """A place of many devices, which belong to one process or to several that do the same."""

    mesh: Mesh  # made by `kandinsky_jax.placement.mesh.find_mesh`

    @property
    def name(self) -> str:
        """See `kandinsky_jax.placement.places.Place.name`."""
        return mesh_name(self.mesh)

    @property
    def target(self) -> Target:
        """See `kandinsky_jax.placement.places.Place.target`."""
        return device_target(self.mesh.devices.flat[0], whole=self.mesh.shape[MODEL_AXIS] == 1)

    def moved(self, device: str) -> Place:
        """Return this place if the name is its kind of device, as in scripts that say `cuda`.

        Raises:
            InvalidInputError: The name is another device's.
        """
        if device_platform(device) != self.mesh.devices.flat[0].platform:
            raise InvalidInputError(
                f"device {device!r}: this network lies on {self.name} and stays there; load it "
                "again with device= in place of mesh="
            )
        return self

    def put_weight(self, leaf: str, array: Array) -> jax.Array:
        """See `kandinsky_jax.placement.places.Place.put_weight`."""
        return _placed(array, self._of_weight(leaf, np.shape(array)))

    def put_weights(self, state: Weights) -> Weights:
        """See `kandinsky_jax.placement.places.Place.put_weights`."""
        return {name: self.put_weight(leaf_of(name), array) for name, array in state.items()}

    def shapes(self, state: Weights) -> Weights:
        """See `kandinsky_jax.placement.places.Place.shapes`."""

        return {
            name: jax.ShapeDtypeStruct(
                array.shape, array.dtype, sharding=self._of_weight(leaf_of(name), array.shape)
            )
            for name, array in state.items()
        }

    def _of_weight(self, leaf: str, shape: tuple[int, ...]) -> NamedSharding:
        return NamedSharding(self.mesh, weight_spec(leaf, shape, self.mesh.shape[MODEL_AXIS]))

    def get(self, tree: Any) -> Any:
        """See `kandinsky_jax.placement.places.Place.get`."""
        return jax.tree.map(_gathered, tree)

    def batch(self, first: Array) -> Batch:
        """See `kandinsky_jax.placement.places.Place.batch`.

        Raises:
            InvalidInputError: Another process of the mesh was given other rows.
        """
        if jax.process_count() > 1:
            _require_same(first)
        return _MeshBatch(self.mesh, len(first))


class _MeshBatch:
    """Lays `count` pictures over the `data` axis; every device computes a single picture whole."""

    def __init__(self, mesh: Mesh, count: int) -> None:
        self._mesh = mesh
        self._count = count
        self.split = count > 1 and mesh.shape[DATA_AXIS] > 1
        self._parts = mesh.shape[DATA_AXIS] if self.split else 1
        self._each = -(-count // self._parts)
        self._rows = NamedSharding(mesh, PartitionSpec(DATA_AXIS) if self.split else _WHOLE)

    @property
    def target(self) -> Target:
        """See `kandinsky_jax.placement.places.Batch.target`.

        One picture over several devices is divided, or repeated, by the compiler.
        """
        alone = self._mesh.size == 1 or (self.split and self._mesh.shape[MODEL_AXIS] == 1)
        return device_target(self.devices[0], whole=alone)

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """See `kandinsky_jax.placement.places.Batch.devices`."""
        return tuple(self._mesh.devices.flat)

    @property
    def description(self) -> tuple[str, ...]:
        """See `kandinsky_jax.placement.places.Batch.description`."""
        ids = [device.id for device in self.devices]
        mesh = (self._mesh.axis_names, self._mesh.axis_types, self._mesh.devices.shape, ids)
        return ("mesh", str(mesh), f"split {self.split}")

    def put(self, array: Array) -> Any:
        """See `kandinsky_jax.placement.places.Batch.put`.

        The rows come in parts, one for each row that a picture has (the unconditional and the
        conditional). A device gets the rows of its pictures from each part, in the same order.
        Copies of the last picture fill up what the devices cannot share out evenly.
        """
        shape = array.shape[1:]
        parts = array.reshape(-1, self._count, *shape)
        missing = self._parts * self._each - self._count
        if missing:
            last = np.repeat(parts[:, -1:], missing, axis=1)
            parts = np.concatenate([parts, last], axis=1)
        by_device = parts.reshape(-1, self._parts, self._each, *shape).swapaxes(0, 1)
        return _placed(by_device.reshape(-1, *shape), self._rows)

    def arrange(self, arguments: tuple[Any, ...], shared: tuple[int, ...]) -> tuple[Any, ...]:
        """See `kandinsky_jax.placement.places.Batch.arrange`."""

        def rows(leaf: Any) -> Any:
            return leaf if isinstance(leaf, jax.Array) else self.put(leaf)

        whole = NamedSharding(self._mesh, _WHOLE)
        return tuple(
            _placed(argument, whole) if place in shared else jax.tree.map(rows, argument)
            for place, argument in enumerate(arguments, start=1)
        )

    def jit(
        self, function: Callable[..., Any], shared: tuple[int, ...], donate: tuple[int, ...]
    ) -> Any:
        """See `kandinsky_jax.placement.places.Batch.jit`."""
        if self.split:
            function = self._on_own_rows(function, shared)
        return jax.jit(function, donate_argnums=donate, out_shardings=self._rows)

    def _on_own_rows(
        self, function: Callable[..., Any], shared: tuple[int, ...]
    ) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            specs = tuple(
                _WHOLE if place == 0 or place in shared else self._rows.spec
                for place in range(len(arguments))
            )
            # The compiler itself divides along an axis that is not among `axis_names`.
            axes = {DATA_AXIS} if self._mesh.shape[MODEL_AXIS] > 1 else {DATA_AXIS, MODEL_AXIS}
            own: Any = jax.shard_map(
                function,
                mesh=self._mesh,
                in_specs=specs,
                out_specs=self._rows.spec,
                axis_names=axes,
                check_vma=False,
            )
            return own(*arguments)

        return run

    def read(self, array: jax.Array) -> Array:
        """See `kandinsky_jax.placement.places.Batch.read`; every process gets all rows."""
        return _gathered(array)[: self._count]


def _placed(array: Any, sharding: NamedSharding) -> jax.Array:
    """Bring a host's array to the devices of this process; each device gets its part.

    `jax.device_put` would compare the whole array between processes first.
    """
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def _gathered(array: Any) -> Array:
    """Copy an array to the host, from the devices of other processes too."""
    if isinstance(array, jax.Array) and not (
        array.is_fully_addressable or array.is_fully_replicated
    ):
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)


def _require_same(first: Array) -> None:
    digest = hashlib.sha256(np.ascontiguousarray(first).data).digest()
    # All digests go to all processes, so that none waits for one that has given up.
    found = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    if (found != found[0]).any():
        raise InvalidInputError(
            "the processes of the mesh were given different inputs: call the pipeline with the "
            "same arguments in all of them, a seed or a seeded generator among them"
        )
