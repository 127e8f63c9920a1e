"""Layouts of model folders besides diffusers': they register in the group `kandinsky.layouts`.

A layout is a module with two functions: `open_model(folder, name, part)` gives a `Checkpoint`, or
None for a folder of another kind; `hub_patterns(part, components)` gives the files to fetch from a
hub.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

__all__ = ["other_layouts"]


def other_layouts() -> list[Any]:
    """Return the registered layouts."""
    return [point.load() for point in entry_points(group="kandinsky.layouts")]
