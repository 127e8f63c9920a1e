"""Kandinsky 3: repainting a part of a picture as a hint says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky3.control import ControlDecoder
from kandinsky_core.pipelines.kandinsky3.decoder import picture_size
from kandinsky_core.pipelines.kandinsky3.inpainting import LARGEST, Kandinsky3InpaintDecoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import positive_int

__all__ = ["Kandinsky3ControlNetInpaintPipeline"]


class Kandinsky3ControlNetInpaintPipeline(ControlDecoder, Kandinsky3InpaintDecoder):
    """Inpainting with a hint: a branch beside the UNet for inpainting.

    Nobody has published such a pipeline. The branch reads the noisy latents alone, as it was
    trained, and the UNet reads the mask and the masked picture too. Texts are read as the branch
    was trained to read them.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts | None = None,
        image: Any = None,
        mask_image: Any = None,
        control_image: Any = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 7.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        prompt_embeds: Array | None = None,
        negative_prompt_embeds: Array | None = None,
        attention_mask: Array | None = None,
        negative_attention_mask: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        latents: Array | None = None,
        controlnet_conditioning_scale: Any = 1.0,
        control_guidance_start: float = 0.0,
        control_guidance_end: float = 1.0,
        guidance_rescale: float = 0.0,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        paste_back: bool = False,
        hint: Any = None,
        k: Any = None,
        control_image_range: Sequence[float] = (0.0, 1.0),
        control_image_order: str = "RGB",
        cut_context: bool = True,
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        beautify: Any = None,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that are repainted in part, as a hint says.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            guidance_scale: Weight w in (w + 1) conditional - w unconditional; off at 1 and below.
            hint: Another name for `control_image`, as in the original.
            k: Another name for `controlnet_conditioning_scale`, as in the original.
            height: Height in pixels, any; None takes the height of a PIL picture, scaled down where
                it has more than 1024 x 1024 pixels, else 1024.
        """
        height, width = picture_size(image, height, width, LARGEST)
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
            callback,
            callback_steps,
        )
        texts = self.check_control_texts(
            cut_context,
            plan,
            prompt=prompt,
            negative_prompt=negative_prompt,
            beautify=beautify,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            attention_mask=attention_mask,
            negative_attention_mask=negative_attention_mask,
        )
        control = self.check_control(
            {"control_image": control_image, "hint": hint},
            plan,
            controlnet_conditioning_scale if k is None else k,
            control_guidance_start,
            control_guidance_end,
            guidance_rescale,
            control_image_range,
            control_image_order,
        )
        count = texts.count * positive_int("num_images_per_prompt", num_images_per_prompt)
        return self._request(
            plan,
            options,
            count,
            generator,
            seed,
            latents=latents,
            texts=texts,
            **self.check_evenly(image, mask_image, paste_back, plan),
            **control,
        )

    __call__ = prepared_call(prepare)
