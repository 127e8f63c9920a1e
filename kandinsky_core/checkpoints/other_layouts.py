"""Finds layouts of model folders other than diffusers'; they register in `kandinsky.layouts`.

A layout is a module with two functions. `open_model(folder, name, part)` returns a `Checkpoint`, or
None for a folder of another kind. `hub_patterns(part, components)` returns patterns of the files to
fetch from a hub. It may have a third, `adopted(checkpoint)`: for a folder with an index, but with
networks of another layout, it returns a `Checkpoint` of our layout, and None for any other.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

__all__ = ["other_layouts"]


def other_layouts() -> list[Any]:
    """Return the registered layouts."""
    return [point.load() for point in entry_points(group="kandinsky.layouts")]
