"""Names of `diffusers.utils`, where scripts look for them: `load_image`, `logging` and others.

Only names live here, so that a script's imports change by the name of the package alone.
"""

from __future__ import annotations

from kandinsky_core.pictures.opening import load_image
from kandinsky_core.pictures.outputs import make_image_grid, numpy_to_pil
from kandinsky_core.utils import logging, torch_utils

__all__ = ["load_image", "logging", "make_image_grid", "numpy_to_pil", "torch_utils"]
