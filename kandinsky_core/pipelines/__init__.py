"""The pipelines, named as diffusers names them."""

from __future__ import annotations

from typing import Any

from kandinsky_core.public_names import HOMES, public


def __getattr__(name: str) -> Any:
    """Resolve `kandinsky_core.pipelines.KandinskyV22Pipeline`, as scripts may import it."""
    if HOMES.get(name, "").startswith("pipelines."):
        return public(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
