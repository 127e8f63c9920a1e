"""Kandinsky text-to-image on JAX and MindSpore, behind the names that diffusers' users know.

Importing this package loads no framework: a name is resolved when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kandinsky_core.public_names import HOMES, public

if TYPE_CHECKING:  # a type checker follows no `__getattr__`
    from kandinsky_core.denoising.generator import Generator as Generator
    from kandinsky_core.errors import KandinskyError as KandinskyError
    from kandinsky_core.pictures.clip_image_processor import (
        CLIPImageProcessor as CLIPImageProcessor,
    )
    from kandinsky_core.pictures.edge_hints import hed_hint as hed_hint
    from kandinsky_core.pictures.edge_hints import scribble_hint as scribble_hint
    from kandinsky_core.pictures.hints import depth_hint as depth_hint
    from kandinsky_core.pictures.metadata import read_metadata as read_metadata
    from kandinsky_core.pictures.metadata import save_image as save_image
    from kandinsky_core.pictures.opening import load_image as load_image
    from kandinsky_core.pictures.outputs import make_image_grid as make_image_grid
    from kandinsky_core.pipelines.auto import (
        AutoPipelineForImage2Image as AutoPipelineForImage2Image,
    )
    from kandinsky_core.pipelines.auto import AutoPipelineForInpainting as AutoPipelineForInpainting
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image as AutoPipelineForText2Image
    from kandinsky_core.pipelines.entry_points import get_kandinsky2 as get_kandinsky2
    from kandinsky_core.pipelines.kandinsky2_0.image_to_image import (
        Kandinsky20Img2ImgPipeline as Kandinsky20Img2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_0.inpainting import (
        Kandinsky20InpaintPipeline as Kandinsky20InpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_0.text_to_image import (
        Kandinsky20Pipeline as Kandinsky20Pipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.combined import (
        KandinskyCombinedPipeline as KandinskyCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.combined import (
        KandinskyImg2ImgCombinedPipeline as KandinskyImg2ImgCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.combined import (
        KandinskyInpaintCombinedPipeline as KandinskyInpaintCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.image_to_image import (
        KandinskyImg2ImgPipeline as KandinskyImg2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.inpainting import (
        KandinskyInpaintPipeline as KandinskyInpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.prior import (
        KandinskyPriorPipeline as KandinskyPriorPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_1.text_to_image import (
        KandinskyPipeline as KandinskyPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.combined import (
        KandinskyV22CombinedPipeline as KandinskyV22CombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
        KandinskyV22Img2ImgCombinedPipeline as KandinskyV22Img2ImgCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
        KandinskyV22InpaintCombinedPipeline as KandinskyV22InpaintCombinedPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.controlnet import (
        KandinskyV22ControlnetImg2ImgPipeline as KandinskyV22ControlnetImg2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.controlnet import (
        KandinskyV22ControlnetPipeline as KandinskyV22ControlnetPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.image_to_image import (
        KandinskyV22Img2ImgPipeline as KandinskyV22Img2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.inpainting import (
        KandinskyV22InpaintPipeline as KandinskyV22InpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.prior import (
        KandinskyV22PriorPipeline as KandinskyV22PriorPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.prior_emb2emb import (
        KandinskyV22PriorEmb2EmbPipeline as KandinskyV22PriorEmb2EmbPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.text_to_image import (
        KandinskyV22Pipeline as KandinskyV22Pipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.controlnet import (
        Kandinsky3ControlNetPipeline as Kandinsky3ControlNetPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.controlnet_image_to_image import (
        Kandinsky3ControlNetImg2ImgPipeline as Kandinsky3ControlNetImg2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.controlnet_inpainting import (
        Kandinsky3ControlNetInpaintPipeline as Kandinsky3ControlNetInpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.entry_points import (
        get_inpainting_pipeline as get_inpainting_pipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.entry_points import (
        get_T2I_Flash_pipeline as get_T2I_Flash_pipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.entry_points import (
        get_T2I_pipeline as get_T2I_pipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.flash import (
        Kandinsky3FlashPipeline as Kandinsky3FlashPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.image_to_image import (
        Kandinsky3Img2ImgPipeline as Kandinsky3Img2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.inpainting import (
        Kandinsky3InpaintPipeline as Kandinsky3InpaintPipeline,
    )
    from kandinsky_core.pipelines.kandinsky3.ip_adapter import (
        KandinskyV3PipelineIpAdapter as KandinskyV3PipelineIpAdapter,
    )
    from kandinsky_core.pipelines.kandinsky3.prompt_embeds import PromptEmbeds as PromptEmbeds
    from kandinsky_core.pipelines.kandinsky3.text_to_image import (
        Kandinsky3Pipeline as Kandinsky3Pipeline,
    )
    from kandinsky_core.pipelines.shared.base import DiffusionPipeline as DiffusionPipeline
    from kandinsky_core.pipelines.shared.network_classes import AutoencoderKL as AutoencoderKL
    from kandinsky_core.pipelines.shared.network_classes import (
        CLIPTextModelWithProjection as CLIPTextModelWithProjection,
    )
    from kandinsky_core.pipelines.shared.network_classes import (
        CLIPVisionModelWithProjection as CLIPVisionModelWithProjection,
    )
    from kandinsky_core.pipelines.shared.network_classes import (
        Kandinsky3ControlNetModel as Kandinsky3ControlNetModel,
    )
    from kandinsky_core.pipelines.shared.network_classes import Kandinsky3UNet as Kandinsky3UNet
    from kandinsky_core.pipelines.shared.network_classes import Kandinsky20UNet as Kandinsky20UNet
    from kandinsky_core.pipelines.shared.network_classes import (
        KandinskySuperResUNet as KandinskySuperResUNet,
    )
    from kandinsky_core.pipelines.shared.network_classes import MT5EncoderModel as MT5EncoderModel
    from kandinsky_core.pipelines.shared.network_classes import MultilingualCLIP as MultilingualCLIP
    from kandinsky_core.pipelines.shared.network_classes import PriorTransformer as PriorTransformer
    from kandinsky_core.pipelines.shared.network_classes import T5EncoderModel as T5EncoderModel
    from kandinsky_core.pipelines.shared.network_classes import (
        UNet2DConditionModel as UNet2DConditionModel,
    )
    from kandinsky_core.pipelines.shared.network_classes import VQModel as VQModel
    from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput as ImagePipelineOutput
    from kandinsky_core.pipelines.super_resolution.entry_points import (
        get_SR_pipeline as get_SR_pipeline,
    )
    from kandinsky_core.pipelines.super_resolution.flash import (
        KandinskySuperResFlashPipeline as KandinskySuperResFlashPipeline,
    )
    from kandinsky_core.pipelines.super_resolution.pipeline import (
        KandinskySuperResPipeline as KandinskySuperResPipeline,
    )
    from kandinsky_core.schedulers import DDIMScheduler as DDIMScheduler
    from kandinsky_core.schedulers import DDPMScheduler as DDPMScheduler
    from kandinsky_core.schedulers import DEISMultistepScheduler as DEISMultistepScheduler
    from kandinsky_core.schedulers import DPMSolverMultistepScheduler as DPMSolverMultistepScheduler
    from kandinsky_core.schedulers import (
        DPMSolverSinglestepScheduler as DPMSolverSinglestepScheduler,
    )
    from kandinsky_core.schedulers import (
        EulerAncestralDiscreteScheduler as EulerAncestralDiscreteScheduler,
    )
    from kandinsky_core.schedulers import EulerDiscreteScheduler as EulerDiscreteScheduler
    from kandinsky_core.schedulers import HeunDiscreteScheduler as HeunDiscreteScheduler
    from kandinsky_core.schedulers import Kandinsky3FlashScheduler as Kandinsky3FlashScheduler
    from kandinsky_core.schedulers import Kandinsky3Scheduler as Kandinsky3Scheduler
    from kandinsky_core.schedulers import Kandinsky20Scheduler as Kandinsky20Scheduler
    from kandinsky_core.schedulers import (
        KDPM2AncestralDiscreteScheduler as KDPM2AncestralDiscreteScheduler,
    )
    from kandinsky_core.schedulers import KDPM2DiscreteScheduler as KDPM2DiscreteScheduler
    from kandinsky_core.schedulers import LCMScheduler as LCMScheduler
    from kandinsky_core.schedulers import LMSDiscreteScheduler as LMSDiscreteScheduler
    from kandinsky_core.schedulers import PNDMScheduler as PNDMScheduler
    from kandinsky_core.schedulers import UnCLIPScheduler as UnCLIPScheduler
    from kandinsky_core.schedulers import UniPCMultistepScheduler as UniPCMultistepScheduler
    from kandinsky_core.schedulers import scheduler_by_name as scheduler_by_name
    from kandinsky_core.seam.registry import backend_reports as backend_reports
    from kandinsky_core.seam.registry import get_backend as get_backend
    from kandinsky_core.texts.beautify import PromptBeautifier as PromptBeautifier
    from kandinsky_core.texts.clip_tokenizer import CLIPTokenizer as CLIPTokenizer
    from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer as XLMRobertaTokenizer
    from kandinsky_core.texts.t5_tokenizer import MT5Tokenizer as MT5Tokenizer
    from kandinsky_core.texts.t5_tokenizer import T5Tokenizer as T5Tokenizer

__all__ = [*HOMES, "__version__"]

__version__ = "0.1.0"


_ROOMS = ("image_processor", "models", "pipelines", "schedulers", "utils")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:  # `kandinsky_core.utils.load_image` after `import kandinsky_core` alone
        return import_module(f"{__name__}.{name}")
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = public(name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
