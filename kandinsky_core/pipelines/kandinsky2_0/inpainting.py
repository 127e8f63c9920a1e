"""Kandinsky 2.0: repainting the masked part of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_0.decoder import Kandinsky20Decoder
from kandinsky_core.pipelines.shared.call_options import Callback
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.inpainting import InpaintDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts

__all__ = ["Kandinsky20InpaintPipeline"]


class Kandinsky20InpaintPipeline(Kandinsky20Decoder, InpaintDecoder):
    """Inpainting: white pixels of the mask are repainted, and black ones are kept.

    Source: `generate_inpainting` of the original code, whose masks are the other way round:
    `get_kandinsky2` takes those. As there, the usual sampler only shows the UNet the kept part;
    `first-release` and `ddpm` put it into every prediction. `paste_back` keeps it exactly.
    """

    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *Kandinsky20Decoder.callback_tensor_inputs,
        "masked_image",
        "mask_image",
        "image_latents",
    )
    callback_views: ClassVar[Mapping[str, View]] = InpaintDecoder.callback_views

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        mask_image: Any,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        paste_back: bool = False,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that are repainted in part.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
        )
        return self._request(
            plan,
            options,
            generator=generator,
            seed=seed,
            latents=latents,
            **self.texts_and_count(prompt, negative_prompt, num_images_per_prompt),
            **self.check_inpainting(image, mask_image, paste_back, plan),
        )

    __call__ = prepared_call(prepare)
