"""Checks the components that a caller hands to `from_pretrained` instead of loading them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.registry import backend_names

__all__ = ["backend_of", "check_ready"]


def backend_of(ready: Mapping[str, Any]) -> str | None:
    """Return the backend that all ready networks belong to; None where there is no such backend."""
    names = {part.backend_name for part in ready.values() if hasattr(part, "backend_name")}
    found = names & set(backend_names())
    return found.pop() if len(names) == len(found) == 1 else None


def check_ready(ready: Mapping[str, Any], backend: str) -> None:
    """Refuse networks of another backend, or of another kind than their names say.

    Args:
        ready: Components by name.
        backend: Name of the pipeline's backend.

    Raises:
        InvalidInputError: There is such a network.
    """
    for name, part in ready.items():
        class_name = getattr(getattr(part, "config", None), "CLASS_NAME", None)
        entry = NETWORKS.get(class_name) if isinstance(class_name, str) else None
        if entry is None:
            continue
        if part.backend_name != backend:
            raise InvalidInputError(
                f"{name} is a network of the {part.backend_name} backend, and the pipeline is "
                f"loaded with {backend}: give backend={part.backend_name!r}, or load {name} with "
                f"backend={backend!r}"
            )
        if not name.endswith(entry.folder):
            raise InvalidInputError(
                f"{name} is a {class_name}: pass it as {entry.folder}, or load the network that "
                f"belongs there"
            )
