"""Kandinsky text-to-image on JAX and MindSpore, behind the names that diffusers' users know.

Importing this package loads no framework; names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kandinsky_core.backend import backend_reports, get_backend
    from kandinsky_core.errors import KandinskyError
    from kandinsky_core.generator import Generator
    from kandinsky_core.images import make_image_grid
    from kandinsky_core.metadata import read_metadata, save_image
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
    from kandinsky_core.pipelines.kandinsky2_2 import KandinskyV22Pipeline
    from kandinsky_core.pipelines.kandinsky2_2_combined import KandinskyV22CombinedPipeline
    from kandinsky_core.pipelines.kandinsky2_2_prior import KandinskyV22PriorPipeline
    from kandinsky_core.schedulers import DDIMScheduler, DDPMScheduler, UnCLIPScheduler

__all__ = [
    "AutoPipelineForText2Image",
    "DDIMScheduler",
    "DDPMScheduler",
    "Generator",
    "KandinskyError",
    "KandinskyV22CombinedPipeline",
    "KandinskyV22Pipeline",
    "KandinskyV22PriorPipeline",
    "UnCLIPScheduler",
    "__version__",
    "backend_reports",
    "get_backend",
    "make_image_grid",
    "read_metadata",
    "save_image",
]

__version__ = "0.1.0"

_HOME = {
    "AutoPipelineForText2Image": "pipelines.auto",
    "DDIMScheduler": "schedulers",
    "DDPMScheduler": "schedulers",
    "Generator": "generator",
    "KandinskyError": "errors",
    "KandinskyV22CombinedPipeline": "pipelines.kandinsky2_2_combined",
    "KandinskyV22Pipeline": "pipelines.kandinsky2_2",
    "KandinskyV22PriorPipeline": "pipelines.kandinsky2_2_prior",
    "UnCLIPScheduler": "schedulers",
    "backend_reports": "backend",
    "get_backend": "backend",
    "make_image_grid": "images",
    "read_metadata": "metadata",
    "save_image": "metadata",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
