"""Takes the network out of what `torch.compile` makes of it."""

from __future__ import annotations

from typing import Any

__all__ = ["without_wrappers"]

_WRAPPED = ("_torchdynamo_orig_callable", "_orig_mod", "__wrapped__")
_DEEPEST = 16  # torch.compile wraps twice


def without_wrappers(component: Any) -> Any:
    """Return the network within a function that wraps it; other components as they are.

    `pipe.unet = torch.compile(pipe.unet)` gives a function. Networks are compiled by their backend
    already, so the network itself is taken.
    """
    value = component
    for _ in range(_DEEPEST):
        if hasattr(value, "offload"):
            return value
        own = getattr(value, "__dict__", {})
        value = next((own[name] for name in _WRAPPED if name in own), None)
    return component
