"""Turns a user's `data=4,model=2` into JAX's mesh of the devices that share the work."""

from __future__ import annotations

import math
import re
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_jax.placement.devices import local_devices
from kandinsky_jax.placement.sharding import MODEL_AXIS

__all__ = ["DATA_AXIS", "find_mesh", "mesh_name"]

DATA_AXIS = "data"
_AXES = (DATA_AXIS, MODEL_AXIS)
_ALLOWED = "give sizes of data and model, such as 'data=4,model=2', or a jax.sharding.Mesh of them"

_DIVIDE_CPU = (
    ", or, to try it on a CPU, set XLA_FLAGS=--xla_force_host_platform_device_count={} in the "
    "environment"
)


def find_mesh(mesh: Any) -> Mesh:
    """Return a mesh with the axes `data` and `model`, in this order; a missing axis has size 1.

    Args:
        mesh: A text such as `data=4,model=2`, which takes JAX's first devices, or a mesh.

    Raises:
        InvalidInputError: The argument is neither, has other axes, or leaves a process without a
            device.
        BackendUnavailableError: The mesh asks for more devices than there are.
    """
    if isinstance(mesh, str):
        found = _built(mesh, _sizes(mesh))
    elif isinstance(mesh, Mesh):
        found = _ordered(mesh)
    else:
        raise InvalidInputError(f"mesh={mesh!r}: {_ALLOWED}")
    idle = set(range(jax.process_count())) - {d.process_index for d in found.devices.flat}
    if idle:
        raise InvalidInputError(
            f"mesh={mesh!r} has no device of process {min(idle)}: each of the "
            f"{jax.process_count()} processes needs a part, of {len(jax.devices())} devices in all"
        )
    return found


def mesh_name(mesh: Mesh) -> str:
    """Return a mesh's name for people, such as `gpu x 8 (data=4, model=2)`."""
    sizes = ", ".join(f"{axis}={mesh.shape[axis]}" for axis in _AXES if mesh.shape[axis] > 1)
    return f"{mesh.devices.flat[0].platform} x {mesh.size}" + (f" ({sizes})" if sizes else "")


def _sizes(text: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for part in text.split(","):
        axis, _, size = (word.strip() for word in part.partition("="))
        if re.fullmatch(r"[a-z]\w*", axis) and axis not in _AXES:
            raise _unknown_axis(text, axis)
        if axis not in _AXES or axis in sizes or not re.fullmatch(r"[1-9][0-9]{0,8}", size):
            raise InvalidInputError(f"mesh={text!r}, at {part!r}: {_ALLOWED}")
        sizes[axis] = int(size)
    return sizes


def _built(text: str, sizes: dict[str, int]) -> Mesh:
    shape = tuple(sizes.get(axis, 1) for axis in _AXES)
    local_devices()  # which says what is wrong where there are none
    wanted, devices = math.prod(shape), jax.devices()
    if wanted > len(devices):
        raise BackendUnavailableError(
            f"mesh={text!r} needs {wanted} devices, and JAX sees {devices[0].platform} x "
            f"{len(devices)}: make it smaller"
            + (_DIVIDE_CPU.format(wanted) if devices[0].platform == "cpu" else "")
        )
    return jax.make_mesh(
        shape, _AXES, devices=devices[:wanted], axis_types=(AxisType.Auto,) * len(_AXES)
    )


def _ordered(mesh: Mesh) -> Mesh:
    """Return the same devices along our two axes, which the compiler divides the work among."""
    for axis in mesh.axis_names:
        if axis not in _AXES:
            raise _unknown_axis(mesh, axis)
    given = [mesh.axis_names.index(axis) for axis in _AXES if axis in mesh.axis_names]
    shape = [mesh.shape.get(axis, 1) for axis in _AXES]
    devices = np.transpose(mesh.devices, given).reshape(shape)
    return Mesh(devices, _AXES, axis_types=(AxisType.Auto,) * len(_AXES))


def _unknown_axis(mesh: Any, axis: Any) -> InvalidInputError:
    return InvalidInputError(f"mesh={mesh!r}: there is no axis {axis!r}: {_ALLOWED}")
