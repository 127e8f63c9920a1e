"""Kandinsky 2.1 in one call: the combined pipelines of 2.2 around decoders that read the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_1.image_to_image import KandinskyImg2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_1.inpainting import KandinskyInpaintPipeline
from kandinsky_core.pipelines.kandinsky2_1.text_to_image import KandinskyPipeline
from kandinsky_core.pipelines.kandinsky2_1.verified_parts import MultilingualParts
from kandinsky_core.pipelines.kandinsky2_2.combined import KandinskyV22CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline, CombinedRequest
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.texts.prompts import Prompts

__all__ = [
    "KandinskyCombinedPipeline",
    "KandinskyImg2ImgCombinedPipeline",
    "KandinskyInpaintCombinedPipeline",
]


class _ReadsPrompt(CombinedPipeline):
    """Passes the prompts on to the decoder, each beside the embeddings that were made of it.

    The reference repeats them in another order than the embeddings when there are several prompts
    with several pictures each.
    """

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyPipeline
    verified: ClassVar[type[VerifiedParts]] = MultilingualParts

    def _decoder_texts(self, prompts: Prompts, negative_prompt: Any) -> Prompts:
        return Prompts.check(Prompts(prompts.texts), negative_prompt)


class KandinskyCombinedPipeline(_ReadsPrompt, KandinskyV22CombinedPipeline):
    """Text to image in one call; `AutoPipelineForText2Image` builds it for 2.1."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyPipeline


class KandinskyImg2ImgCombinedPipeline(_ReadsPrompt, KandinskyV22Img2ImgCombinedPipeline):
    """Image to image in one call; `AutoPipelineForImage2Image` builds it for 2.1."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyImg2ImgPipeline

    def prepare(  # type: ignore[override]
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        strength: float = 0.3,
        height: int | None = None,
        width: int | None = None,
        prior_guidance_scale: float = 4.0,
        prior_num_inference_steps: int = 25,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        callback: OldCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        prior_callback_on_step_end: Callback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        decoder_negative_prompt: str | Sequence[str] | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_weights: Sequence[float] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> CombinedRequest:
        """Check a request, as `KandinskyV22Img2ImgCombinedPipeline.prepare` does.

        The order of `num_images_per_prompt` and `strength` is that of the reference.
        """
        return super().prepare(
            prompt,
            image,
            negative_prompt,
            num_inference_steps,
            guidance_scale,
            strength,
            num_images_per_prompt,
            height,
            width,
            prior_guidance_scale,
            prior_num_inference_steps,
            generator,
            latents,
            output_type,
            callback,
            callback_steps,
            return_dict,
            prior_callback_on_step_end,
            prior_callback_on_step_end_tensor_inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            decoder_negative_prompt=decoder_negative_prompt,
            ip_adapter_image=ip_adapter_image,
            ip_adapter_weights=ip_adapter_weights,
            seed=seed,
        )

    __call__ = prepared_call(prepare)  # type: ignore[assignment]


class KandinskyInpaintCombinedPipeline(_ReadsPrompt, KandinskyV22InpaintCombinedPipeline):
    """Inpainting in one call; `AutoPipelineForInpainting` builds it for 2.1."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyInpaintPipeline

    def prepare(  # type: ignore[override]
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        mask_image: Any,
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
        prior_guidance_scale: float = 4.0,
        prior_num_inference_steps: int = 25,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        callback: OldCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        prior_callback_on_step_end: Callback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        paste_back: bool = False,
        decoder_negative_prompt: str | Sequence[str] | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_weights: Sequence[float] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> CombinedRequest:
        """Check a request, as `KandinskyV22InpaintCombinedPipeline.prepare` does.

        `callback` and `callback_steps` stand where the reference has them.
        """
        return super().prepare(
            prompt,
            image,
            mask_image,
            negative_prompt,
            num_inference_steps,
            guidance_scale,
            num_images_per_prompt,
            height,
            width,
            prior_guidance_scale,
            prior_num_inference_steps,
            generator,
            latents,
            output_type,
            return_dict,
            prior_callback_on_step_end,
            prior_callback_on_step_end_tensor_inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            callback=callback,
            callback_steps=callback_steps,
            paste_back=paste_back,
            decoder_negative_prompt=decoder_negative_prompt,
            ip_adapter_image=ip_adapter_image,
            ip_adapter_weights=ip_adapter_weights,
            seed=seed,
        )

    __call__ = prepared_call(prepare)  # type: ignore[assignment]
