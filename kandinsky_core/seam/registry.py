"""Finds the installed backends, which register in the entry-point group `kandinsky.backends`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

from kandinsky_core.errors import BackendUnavailableError, InvalidInputError, KandinskyError
from kandinsky_core.seam.backend import Backend, BackendReport

__all__ = [
    "ENTRY_POINT_GROUP",
    "REFERENCE_GROUP",
    "available_backends",
    "backend_names",
    "backend_reports",
    "chosen_backend",
    "environment_problem",
    "get_backend",
    "get_reference",
    "require_packages",
]

ENTRY_POINT_GROUP = "kandinsky.backends"
# The group of libraries that `kandinsky verify --against` takes besides backends.
REFERENCE_GROUP = "kandinsky.references"
# JAX first: `backend=None` takes the first one whose packages are installed.
_PREFERENCE = ("jax", "mindspore")


def _registered() -> dict[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    order = {name: rank for rank, name in enumerate(_PREFERENCE)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def backend_names() -> tuple[str, ...]:
    """Return the names of all registered backends, the preferred one first."""
    return tuple(_registered())


def get_backend(name: str | None = None, **options: Any) -> Backend:
    """Return a backend, which `from_pretrained(backend=...)` takes in place of its name.

    Args:
        name: `jax`, `mindspore`, or another registered name. None takes the environment's
            `KANDINSKY_BACKEND`, else the first one that is installed.
        options: Options of this backend alone: `compile=True` for `mindspore`,
            `mesh="data=4,model=2"` for `jax`.

    Raises:
        BackendUnavailableError: The name is unknown, or the packages are missing (the message
            names the extra that installs them).
        InvalidInputError: The backend has no such option, or options come without a name.
    """
    points = _registered()
    wanted = name or os.environ.get("KANDINSKY_BACKEND") or None
    if wanted is not None:
        if wanted not in points:
            raise BackendUnavailableError(_unknown(wanted, points, from_environment=not name))
        return _create(points[wanted], **options)
    if options:
        raise InvalidInputError(
            f"{', '.join(options)}: options are one backend's own; give its name too, "
            "backend='jax' for example (--backend jax on the command line)"
        )
    problems = []
    for point in points.values():
        try:
            return _create(point)
        except BackendUnavailableError as error:
            problems.append(str(error))
    raise BackendUnavailableError(
        "no backend is installed; install one with: pip install 'kandinsky-anywhere[jax]'"
        + (f" ({'; '.join(problems)})" if problems else "")
    )


def environment_problem() -> str | None:
    """Say what is wrong with the environment's `KANDINSKY_BACKEND`; None if nothing is."""
    wanted, points = os.environ.get("KANDINSKY_BACKEND"), _registered()
    return (
        _unknown(wanted, points, from_environment=True) if wanted and wanted not in points else None
    )


def _unknown(name: str, points: Mapping[str, EntryPoint], *, from_environment: bool) -> str:
    source = " (from the environment's KANDINSKY_BACKEND)" if from_environment else ""
    known = ", ".join(points) or "none: kandinsky-anywhere is not installed here"
    return f"there is no backend {name!r}{source}: choose one of {known}"


def chosen_backend(backend: str | Backend | None, mesh: Any, device: Any) -> Backend:
    """Return the backend that the arguments of `from_pretrained` ask for.

    Args:
        backend: A backend's name, a backend, or None.
        mesh: The backend's option `mesh`, or None.
        device: Name of a device, or None.

    Raises:
        BackendUnavailableError: See `get_backend`; or there are fewer devices than the mesh has.
        InvalidInputError: The backend takes no mesh, it refuses this mesh, or the arguments
            contradict each other.
    """
    if mesh is None:
        return get_backend(backend) if backend is None or isinstance(backend, str) else backend
    if device is not None:
        raise InvalidInputError(f"device={device!r} beside mesh={mesh!r}: give one of the two")
    if backend is None or isinstance(backend, str):
        return get_backend(backend, mesh=mesh)
    raise InvalidInputError(
        f"mesh={mesh!r} beside a backend that is made already: make it with "
        f"get_backend({backend.name!r}, mesh=...)"
    )


def get_reference(name: str) -> Any:
    """Return the library that backends are compared with: `diffusers`.

    Raises:
        BackendUnavailableError: The name is unknown, or the packages are missing.
    """
    points = {point.name: point for point in entry_points(group=REFERENCE_GROUP)}
    if name not in points:
        raise BackendUnavailableError(
            f"there is no reference {name!r}: choose one of {', '.join(points)}"
        )
    return _create(points[name])


def available_backends() -> list[str]:
    """Return the names of the backends that are installed, the preferred one first."""
    return [report.name for report in backend_reports() if report.available]


def backend_reports() -> list[BackendReport]:
    """Describe every registered backend; a backend that is not available has the reason.

    A framework may raise anything when it looks for its devices. That takes one line of the list,
    and the other backends are still described.
    """
    reports = []
    for name, point in _registered().items():
        try:
            reports.append(_create(point).report())
        except Exception as error:  # noqa: BLE001
            problem = str(error) if isinstance(error, KandinskyError) else _reason(error)
            reports.append(BackendReport(name=name, available=False, versions={}, problem=problem))
    return reports


def _create(point: EntryPoint, **options: Any) -> Backend:
    try:
        create = point.load()
        _check_options(point.name, inspect.signature(create), options)
        backend: Backend = create(**options)
    except BackendUnavailableError:
        raise
    except (ImportError, AttributeError, RuntimeError) as error:
        raise BackendUnavailableError(_failure(point.name, error)) from error
    return backend


def _failure(name: str, error: Exception) -> str:
    """Say why a backend whose packages are installed cannot be made, and what to do."""
    # jaxlib reports a version that does not fit as a RuntimeError, like a device that is missing.
    if isinstance(error, RuntimeError) and "version" not in str(error):
        return (
            f"the {name} backend cannot start ({_reason(error)}): correct the device or the "
            "environment variable that this names"
        )
    # a package is broken or of another version: its name is registered, its module fails
    return (
        f"the {name} backend cannot be imported ({_reason(error)}): "
        f"pip install --upgrade 'kandinsky-anywhere[{name}]'"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check_options(name: str, signature: inspect.Signature, options: dict[str, Any]) -> None:
    unknown = [option for option in options if option not in signature.parameters]
    if unknown:
        known = ", ".join(signature.parameters)
        raise InvalidInputError(
            f"the {name} backend has no option {unknown[0]!r}: "
            + (f"choose from {known}, or leave it out" if known else "it has none; leave it out")
        )


def require_packages(backend: str, *packages: str) -> dict[str, str]:
    """Return the versions of the packages that a backend needs.

    Raises:
        BackendUnavailableError: Some are missing; the message names the extra.
    """
    versions, missing = {}, []
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        raise BackendUnavailableError(
            f"the {backend} backend needs {', '.join(missing)}, not installed: "
            f"pip install 'kandinsky-anywhere[{backend}]'"
        )
    return versions
