"""Which classes of the two libraries are compared, and how a set of them is named."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import diffusers

import kandinsky_core

__all__ = ["AUTO", "NETWORKS", "PIPELINES", "named", "network_class", "scheduler_names"]

PIPELINES = tuple(
    name
    for name in dir(diffusers)
    if name.startswith("Kandinsky") and name.endswith("Pipeline") and "Kandinsky5" not in name
)
AUTO = ("AutoPipelineForImage2Image", "AutoPipelineForInpainting", "AutoPipelineForText2Image")
NETWORKS = ("Kandinsky3UNet", "PriorTransformer", "UNet2DConditionModel", "VQModel")


def _family(name: str) -> str:
    if name == "DiffusionPipeline":
        return name
    if "Combined" in name:
        return "combined pipelines"
    if "Prior" in name:
        return "priors"
    if name.startswith("Kandinsky3"):
        return "Kandinsky 3"
    return f"decoders of {'2.2' if 'V22' in name else '2.1'}"


def named(owners: Set[str], everyone: Set[str]) -> str:
    """Return a set of classes in words: `all`, families as a whole, then single classes."""
    if owners == everyone:
        return "all"
    parts = []
    left = set(owners)
    for family in sorted({_family(name) for name in everyone & set(PIPELINES)}):
        members = {name for name in everyone if _family(name) == family}
        if members <= left:
            parts.append(family)
            left -= members
    return ", ".join([*parts, *(f"`{name}`" for name in sorted(left))])


def scheduler_names() -> list[str]:
    """Return the names of diffusers' scheduler classes."""
    return [name for name in dir(diffusers) if name.endswith("Scheduler")]


def network_class(name: str) -> tuple[type, ...]:
    """Return what stands for a network here: the class that loads it, and the object's own.

    Both backends' objects have the same names; `tests/tools/test_diffusers_table.py` holds that.
    """
    from kandinsky_jax.backend import CLASSES

    loaded: Any = next(made for config, (_, made) in CLASSES.items() if name == config.CLASS_NAME)
    return getattr(kandinsky_core, name), loaded
