"""The names that users import from `kandinsky_core`, and where each is defined."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["HOMES", "public"]

HOMES = {
    "AutoPipelineForImage2Image": "pipelines.auto",
    "AutoPipelineForInpainting": "pipelines.auto",
    "AutoPipelineForText2Image": "pipelines.auto",
    "CLIPImageProcessor": "pictures.clip_image_processor",
    "CLIPTextModelWithProjection": "pipelines.shared.network_classes",
    "CLIPTokenizer": "texts.clip_tokenizer",
    "CLIPVisionModelWithProjection": "pipelines.shared.network_classes",
    "DDIMScheduler": "schedulers",
    "DDPMScheduler": "schedulers",
    "DEISMultistepScheduler": "schedulers",
    "DPMSolverMultistepScheduler": "schedulers",
    "DPMSolverSinglestepScheduler": "schedulers",
    "DiffusionPipeline": "pipelines.shared.base",
    "EulerAncestralDiscreteScheduler": "schedulers",
    "EulerDiscreteScheduler": "schedulers",
    "Generator": "denoising.generator",
    "HeunDiscreteScheduler": "schedulers",
    "ImagePipelineOutput": "pipelines.shared.outputs",
    "KDPM2AncestralDiscreteScheduler": "schedulers",
    "KDPM2DiscreteScheduler": "schedulers",
    "Kandinsky3FlashPipeline": "pipelines.kandinsky3.flash",
    "Kandinsky3FlashScheduler": "schedulers",
    "Kandinsky3Img2ImgPipeline": "pipelines.kandinsky3.image_to_image",
    "Kandinsky3InpaintPipeline": "pipelines.kandinsky3.inpainting",
    "Kandinsky3Pipeline": "pipelines.kandinsky3.text_to_image",
    "Kandinsky3Scheduler": "schedulers",
    "Kandinsky3UNet": "pipelines.shared.network_classes",
    "KandinskyCombinedPipeline": "pipelines.kandinsky2_1.combined",
    "KandinskyError": "errors",
    "KandinskyImg2ImgCombinedPipeline": "pipelines.kandinsky2_1.combined",
    "KandinskyImg2ImgPipeline": "pipelines.kandinsky2_1.image_to_image",
    "KandinskyInpaintCombinedPipeline": "pipelines.kandinsky2_1.combined",
    "KandinskyInpaintPipeline": "pipelines.kandinsky2_1.inpainting",
    "KandinskyPipeline": "pipelines.kandinsky2_1.text_to_image",
    "KandinskyPriorPipeline": "pipelines.kandinsky2_1.prior",
    "KandinskySuperResFlashPipeline": "pipelines.super_resolution.flash",
    "KandinskySuperResPipeline": "pipelines.super_resolution.pipeline",
    "KandinskySuperResUNet": "pipelines.shared.network_classes",
    "KandinskyV22CombinedPipeline": "pipelines.kandinsky2_2.combined",
    "KandinskyV22ControlnetImg2ImgPipeline": "pipelines.kandinsky2_2.controlnet",
    "KandinskyV22ControlnetPipeline": "pipelines.kandinsky2_2.controlnet",
    "KandinskyV22Img2ImgCombinedPipeline": "pipelines.kandinsky2_2.combined_image",
    "KandinskyV22Img2ImgPipeline": "pipelines.kandinsky2_2.image_to_image",
    "KandinskyV22InpaintCombinedPipeline": "pipelines.kandinsky2_2.combined_image",
    "KandinskyV22InpaintPipeline": "pipelines.kandinsky2_2.inpainting",
    "KandinskyV22Pipeline": "pipelines.kandinsky2_2.text_to_image",
    "KandinskyV22PriorEmb2EmbPipeline": "pipelines.kandinsky2_2.prior_emb2emb",
    "KandinskyV22PriorPipeline": "pipelines.kandinsky2_2.prior",
    "KandinskyV3PipelineIpAdapter": "pipelines.kandinsky3.ip_adapter",
    "LCMScheduler": "schedulers",
    "LMSDiscreteScheduler": "schedulers",
    "MultilingualCLIP": "pipelines.shared.network_classes",
    "PNDMScheduler": "schedulers",
    "PriorTransformer": "pipelines.shared.network_classes",
    "PromptBeautifier": "texts.beautify",
    "PromptEmbeds": "pipelines.kandinsky3.prompt_embeds",
    "T5EncoderModel": "pipelines.shared.network_classes",
    "T5Tokenizer": "texts.t5_tokenizer",
    "UNet2DConditionModel": "pipelines.shared.network_classes",
    "UnCLIPScheduler": "schedulers",
    "UniPCMultistepScheduler": "schedulers",
    "VQModel": "pipelines.shared.network_classes",
    "XLMRobertaTokenizer": "texts.file_tokenizer",
    "backend_reports": "seam.registry",
    "depth_hint": "pictures.hints",
    "get_SR_pipeline": "pipelines.super_resolution.entry_points",
    "get_T2I_Flash_pipeline": "pipelines.kandinsky3.entry_points",
    "get_T2I_pipeline": "pipelines.kandinsky3.entry_points",
    "get_backend": "seam.registry",
    "get_inpainting_pipeline": "pipelines.kandinsky3.entry_points",
    "load_image": "pictures.opening",
    "make_image_grid": "pictures.outputs",
    "read_metadata": "pictures.metadata",
    "save_image": "pictures.metadata",
    "scheduler_by_name": "schedulers",
}
"""Public name -> the module below `kandinsky_core` that defines it."""


def public(name: str) -> Any:
    """Import the class or function that a public name stands for.

    Raises:
        KeyError: There is no such name.
    """
    return getattr(import_module(f"kandinsky_core.{HOMES[name]}"), name)
