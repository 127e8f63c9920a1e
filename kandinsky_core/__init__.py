"""Kandinsky text-to-image on JAX and MindSpore, behind the names that diffusers' users know.

Importing this package loads no framework; names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kandinsky_core.backend import backend_reports, get_backend
    from kandinsky_core.beautify import PromptBeautifier
    from kandinsky_core.errors import KandinskyError
    from kandinsky_core.generator import Generator
    from kandinsky_core.hints import depth_hint
    from kandinsky_core.image_inputs import (
        load_image,
    )
    from kandinsky_core.images import make_image_grid
    from kandinsky_core.metadata import read_metadata, save_image
    from kandinsky_core.pipelines.auto import (
        AutoPipelineForImage2Image,
        AutoPipelineForInpainting,
        AutoPipelineForText2Image,
    )
    from kandinsky_core.pipelines.base import DiffusionPipeline
    from kandinsky_core.pipelines.kandinsky2_1 import (
        KandinskyPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1_combined import (
        KandinskyCombinedPipeline,
        KandinskyImg2ImgCombinedPipeline,
        KandinskyInpaintCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1_img2img import (
        KandinskyImg2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1_inpaint import (
        KandinskyInpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1_prior import (
        KandinskyPriorPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2 import KandinskyV22Pipeline
    from kandinsky_core.pipelines.kandinsky2_2_combined import KandinskyV22CombinedPipeline
    from kandinsky_core.pipelines.kandinsky2_2_combined_image import (
        KandinskyV22Img2ImgCombinedPipeline,
        KandinskyV22InpaintCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2_controlnet import (
        KandinskyV22ControlnetImg2ImgPipeline,
        KandinskyV22ControlnetPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2_img2img import (
        KandinskyV22Img2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2_inpaint import (
        KandinskyV22InpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2_prior import KandinskyV22PriorPipeline
    from kandinsky_core.pipelines.kandinsky2_2_prior_emb2emb import (
        KandinskyV22PriorEmb2EmbPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3 import Kandinsky3Pipeline
    from kandinsky_core.pipelines.kandinsky3_entry import (
        get_inpainting_pipeline,
        get_T2I_Flash_pipeline,
        get_T2I_pipeline,
    )
    from kandinsky_core.pipelines.kandinsky3_flash import Kandinsky3FlashPipeline
    from kandinsky_core.pipelines.kandinsky3_img2img import Kandinsky3Img2ImgPipeline
    from kandinsky_core.pipelines.kandinsky3_inpaint import Kandinsky3InpaintPipeline
    from kandinsky_core.pipelines.prompt_embeds import PromptEmbeds
    from kandinsky_core.schedulers import (
        DDIMScheduler,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        Kandinsky3FlashScheduler,
        Kandinsky3Scheduler,
        UnCLIPScheduler,
        scheduler_by_name,
    )

__all__ = [
    "AutoPipelineForImage2Image",
    "AutoPipelineForInpainting",
    "AutoPipelineForText2Image",
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "DiffusionPipeline",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "Generator",
    "Kandinsky3FlashPipeline",
    "Kandinsky3FlashScheduler",
    "Kandinsky3Img2ImgPipeline",
    "Kandinsky3InpaintPipeline",
    "Kandinsky3Pipeline",
    "Kandinsky3Scheduler",
    "KandinskyCombinedPipeline",
    "KandinskyError",
    "KandinskyImg2ImgCombinedPipeline",
    "KandinskyImg2ImgPipeline",
    "KandinskyInpaintCombinedPipeline",
    "KandinskyInpaintPipeline",
    "KandinskyPipeline",
    "KandinskyPriorPipeline",
    "KandinskyV22CombinedPipeline",
    "KandinskyV22ControlnetImg2ImgPipeline",
    "KandinskyV22ControlnetPipeline",
    "KandinskyV22Img2ImgCombinedPipeline",
    "KandinskyV22Img2ImgPipeline",
    "KandinskyV22InpaintCombinedPipeline",
    "KandinskyV22InpaintPipeline",
    "KandinskyV22Pipeline",
    "KandinskyV22PriorEmb2EmbPipeline",
    "KandinskyV22PriorPipeline",
    "PromptBeautifier",
    "PromptEmbeds",
    "UnCLIPScheduler",
    "__version__",
    "backend_reports",
    "depth_hint",
    "get_T2I_Flash_pipeline",
    "get_T2I_pipeline",
    "get_backend",
    "get_inpainting_pipeline",
    "load_image",
    "make_image_grid",
    "read_metadata",
    "save_image",
    "scheduler_by_name",
]

__version__ = "0.1.0"

_HOME = {
    "AutoPipelineForImage2Image": "pipelines.auto",
    "AutoPipelineForInpainting": "pipelines.auto",
    "AutoPipelineForText2Image": "pipelines.auto",
    "DDIMScheduler": "schedulers",
    "DDPMScheduler": "schedulers",
    "DPMSolverMultistepScheduler": "schedulers",
    "DiffusionPipeline": "pipelines.base",
    "EulerAncestralDiscreteScheduler": "schedulers",
    "EulerDiscreteScheduler": "schedulers",
    "Generator": "generator",
    "Kandinsky3FlashPipeline": "pipelines.kandinsky3_flash",
    "Kandinsky3FlashScheduler": "schedulers",
    "Kandinsky3Img2ImgPipeline": "pipelines.kandinsky3_img2img",
    "Kandinsky3InpaintPipeline": "pipelines.kandinsky3_inpaint",
    "Kandinsky3Pipeline": "pipelines.kandinsky3",
    "Kandinsky3Scheduler": "schedulers",
    "KandinskyCombinedPipeline": "pipelines.kandinsky2_1_combined",
    "KandinskyError": "errors",
    "KandinskyImg2ImgCombinedPipeline": "pipelines.kandinsky2_1_combined",
    "KandinskyImg2ImgPipeline": "pipelines.kandinsky2_1_img2img",
    "KandinskyInpaintCombinedPipeline": "pipelines.kandinsky2_1_combined",
    "KandinskyInpaintPipeline": "pipelines.kandinsky2_1_inpaint",
    "KandinskyPipeline": "pipelines.kandinsky2_1",
    "KandinskyPriorPipeline": "pipelines.kandinsky2_1_prior",
    "KandinskyV22CombinedPipeline": "pipelines.kandinsky2_2_combined",
    "KandinskyV22ControlnetImg2ImgPipeline": "pipelines.kandinsky2_2_controlnet",
    "KandinskyV22ControlnetPipeline": "pipelines.kandinsky2_2_controlnet",
    "KandinskyV22Img2ImgCombinedPipeline": "pipelines.kandinsky2_2_combined_image",
    "KandinskyV22Img2ImgPipeline": "pipelines.kandinsky2_2_img2img",
    "KandinskyV22InpaintCombinedPipeline": "pipelines.kandinsky2_2_combined_image",
    "KandinskyV22InpaintPipeline": "pipelines.kandinsky2_2_inpaint",
    "KandinskyV22Pipeline": "pipelines.kandinsky2_2",
    "KandinskyV22PriorEmb2EmbPipeline": "pipelines.kandinsky2_2_prior_emb2emb",
    "KandinskyV22PriorPipeline": "pipelines.kandinsky2_2_prior",
    "PromptBeautifier": "beautify",
    "PromptEmbeds": "pipelines.prompt_embeds",
    "UnCLIPScheduler": "schedulers",
    "backend_reports": "backend",
    "depth_hint": "hints",
    "get_T2I_Flash_pipeline": "pipelines.kandinsky3_entry",
    "get_T2I_pipeline": "pipelines.kandinsky3_entry",
    "get_backend": "backend",
    "get_inpainting_pipeline": "pipelines.kandinsky3_entry",
    "load_image": "image_inputs",
    "make_image_grid": "images",
    "read_metadata": "metadata",
    "save_image": "metadata",
    "scheduler_by_name": "schedulers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
