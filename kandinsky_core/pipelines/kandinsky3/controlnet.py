"""Kandinsky 3 with a hint, a depth map for example, that fixes the layout of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky3.control import ControlDecoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import positive_int

__all__ = ["Kandinsky3ControlNetPipeline"]


class Kandinsky3ControlNetPipeline(ControlDecoder):
    """Text to image with a hint.

    Source: the pipelines of ai-forever/kandinsky3-diffusers for ControlNets; diffusers has none.
    Differences: pictures have any size and the hint is resized; guidance may be off; several
    prompts and several pictures of each work; the number of the step that callbacks get is right;
    encoded prompts are taken.
    """

    hint_name: ClassVar[str] = "image"

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts | None = None,
        image: Any = None,
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
        control_image: Any = None,
        hint: Any = None,
        k: Any = None,
        control_image_range: Sequence[float] = (0.0, 1.0),
        control_image_order: str = "RGB",
        cut_context: bool = True,
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        beautify: Any = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        ip_adapter_weights: Sequence[float] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures whose layout a hint fixes.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            image: The hint, as diffusers' ControlNet pipelines name it; see `control_image`, which
                is another name for it.
            guidance_scale: Weight w in (w + 1) conditional - w unconditional; off at 1 and below.
            hint: Another name for `image`, as in the original.
            k: Another name for `controlnet_conditioning_scale`, as in the original.
            height: Height in pixels, any; None is 1024.
        """
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
            {"image": image, "control_image": control_image, "hint": hint},
            plan,
            controlnet_conditioning_scale if k is None else k,
            control_guidance_start,
            control_guidance_end,
            guidance_rescale,
            control_image_range,
            control_image_order,
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
            latents=latents,
            texts=texts,
            image_prompt=pictures,
            **control,
        )

    __call__ = prepared_call(prepare)
