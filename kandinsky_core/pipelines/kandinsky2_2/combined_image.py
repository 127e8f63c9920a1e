"""Kandinsky 2.2 in one call, from a prompt and a picture: image to image, and inpainting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.image_to_image import KandinskyV22Img2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_2.inpainting import KandinskyV22InpaintPipeline
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline, CombinedRequest
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.texts.prompts import Prompts

__all__ = ["KandinskyV22Img2ImgCombinedPipeline", "KandinskyV22InpaintCombinedPipeline"]


class KandinskyV22Img2ImgCombinedPipeline(CombinedPipeline):
    """Image to image in one call; `AutoPipelineForImage2Image` builds it for 2.2."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyV22Img2ImgPipeline

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        strength: float = 0.3,
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
        decoder_negative_prompt: str | Sequence[str] | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_weights: Sequence[float] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> CombinedRequest:
        """Check a request for pictures of prompts that begin with a picture.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            image: The picture to start from, in the forms that every call takes, or latents.
            negative_prompt: The text that describes what to keep out; it goes to the prior.
            generator: As for every call; it serves the prior first and runs on in the decoder.
            latents: Initial noise of the prior, [B, D], or [2B, D] with a negative prompt.
        """
        prior = self.prior_pipe.prepare(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            prior_num_inference_steps,
            generator,
            latents,
            prior_guidance_scale,
            callback_on_step_end=prior_callback_on_step_end,
            callback_on_step_end_tensor_inputs=prior_callback_on_step_end_tensor_inputs,
            seed=seed,
        )
        return self._request(
            prior,
            decoder_negative_prompt,
            ip_adapter_image,
            ip_adapter_weights,
            image=image,
            strength=strength,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            output_type=output_type,
            return_dict=return_dict,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            callback=callback,
            callback_steps=callback_steps,
        )

    __call__ = prepared_call(prepare)


class KandinskyV22InpaintCombinedPipeline(CombinedPipeline):
    """Inpainting in one call; `AutoPipelineForInpainting` builds it for 2.2."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyV22InpaintPipeline

    def prepare(
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
        return_dict: bool = True,
        prior_callback_on_step_end: Callback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        paste_back: bool = False,
        decoder_negative_prompt: str | Sequence[str] | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_weights: Sequence[float] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> CombinedRequest:
        """Check a request for pictures that are repainted in part.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; it describes the white part of the mask.
            negative_prompt: The text that describes what to keep out; it goes to the prior.
            generator: As for every call; it serves the prior first and runs on in the decoder.
            latents: Initial noise of the prior, [B, D], or [2B, D] with a negative prompt.
        """
        prior = self.prior_pipe.prepare(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            prior_num_inference_steps,
            generator,
            latents,
            prior_guidance_scale,
            callback_on_step_end=prior_callback_on_step_end,
            callback_on_step_end_tensor_inputs=prior_callback_on_step_end_tensor_inputs,
            seed=seed,
        )
        return self._request(
            prior,
            decoder_negative_prompt,
            ip_adapter_image,
            ip_adapter_weights,
            image=image,
            mask_image=mask_image,
            paste_back=paste_back,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            output_type=output_type,
            return_dict=return_dict,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            callback=callback,
            callback_steps=callback_steps,
        )

    __call__ = prepared_call(prepare)
