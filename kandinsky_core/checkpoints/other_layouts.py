"""Finds layouts of model folders other than diffusers'; they register in `kandinsky.layouts`.

A layout is a module with these functions. `open_model(folder, name, part)` returns a `Checkpoint`,
or None for a folder of another kind. `hub_patterns(part, components)` returns patterns of files to
fetch from a hub. Two more are left out by a layout whose folders have no index.
`adapted(checkpoint)` gets a folder with an index that names classes of another library, and returns
what its components are here, or the checkpoint as it is. `adapted_component` does the same for a
single network, and returns None where it is as this library expects it.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

__all__ = ["other_layouts"]


def other_layouts(function: str = "open_model") -> list[Any]:
    """Return the registered layouts that have a function of this name."""
    layouts = [point.load() for point in entry_points(group="kandinsky.layouts")]
    return [layout for layout in layouts if hasattr(layout, function)]
