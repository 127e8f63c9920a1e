"""`load_image` and `make_image_grid`, where scripts written for `diffusers.utils` look for them.

Only names live here, so that a script's imports change by the name of the package alone.
"""

from __future__ import annotations

from kandinsky_core.pictures.inputs import load_image
from kandinsky_core.pictures.outputs import make_image_grid

__all__ = ["load_image", "make_image_grid"]
