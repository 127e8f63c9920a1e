"""Kandinsky 3: from prompts and a picture to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky3.decoder import picture_size
from kandinsky_core.pipelines.kandinsky3.image_prompt_decoder import ImagePromptDecoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.image_to_image import Img2ImgDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import positive_int

__all__ = ["Kandinsky3Img2ImgPipeline"]


class Kandinsky3Img2ImgPipeline(ImagePromptDecoder, Img2ImgDecoder):
    """Image to image: the last part of the denoising, begun from a noised picture.

    Source: diffusers' pipeline of the same name. Differences: `height` and `width` may be given,
    the picture has that size (the reference rounds that of `image` down to multiples of 8),
    and masks are repeated as the states are.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts | None = None,
        image: Any = None,
        strength: float = 0.3,
        num_inference_steps: int = 25,
        guidance_scale: float = 3.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        prompt_embeds: Array | None = None,
        negative_prompt_embeds: Array | None = None,
        attention_mask: Array | None = None,
        negative_attention_mask: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        height: int | None = None,
        width: int | None = None,
        beautify: Any = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        ip_adapter_weights: Sequence[float] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that begin with a picture.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            image: The picture to start from, as every call takes it, or latents [N, C, h, w].
            guidance_scale: Weight w in (w + 1) conditional - w unconditional; off at 1 and below.
            height: Height in pixels, any; None takes the height of a PIL picture, else 1024.
        """
        height, width = picture_size(image, height, width)
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type, strength)
        options = self.call_options(
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
            callback,
            callback_steps,
        )
        texts = self.check_texts(
            prompt,
            negative_prompt,
            beautify,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            attention_mask=attention_mask,
            negative_attention_mask=negative_attention_mask,
        )
        pictures = self.check_image_prompt(
            plan, ip_adapter_image, ip_adapter_image_embeds, ip_adapter_weights
        )
        count = texts.count * positive_int("num_images_per_prompt", num_images_per_prompt)
        return self._request(
            plan,
            options,
            count,
            generator,
            seed,
            texts=texts,
            image_prompt=pictures,
            pixels=self.check_image(image, plan),
            one_start=num_images_per_prompt == 1,
        )

    __call__ = prepared_call(prepare)
