"""Kandinsky 3: repainting a part of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder, picture_size
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.decoder import (
    DecoderInputs,
    DecoderPlan,
    doubled,
    one_for_each,
)
from kandinsky_core.pipelines.shared.inpainting import InpaintDecoder, pasting
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["Kandinsky3InpaintPipeline"]

_LARGEST = 1024**2  # pixels that the UNet was trained at


class Kandinsky3InpaintPipeline(Kandinsky3Decoder, InpaintDecoder):
    """Inpainting with the UNet that reads the mask and the masked picture beside the sample.

    Source: `get_inpainting_pipeline` of ai-forever/Kandinsky-3; diffusers has none. Differences:
    the picture keeps its size (there it is rounded down to multiples of 64), up to as many pixels
    as 1024 x 1024 have; a mask of another size is white or black from one half on (there its edge
    becomes soft); and negative prompts work.
    """

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        image: Any = None,
        mask_image: Any = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 4.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
        generator: Any = None,
        prompt_embeds: Array | None = None,
        negative_prompt_embeds: Array | None = None,
        attention_mask: Array | None = None,
        negative_attention_mask: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        latents: Array | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        paste_back: bool = False,
        beautify: Any = None,
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            prompt: What the picture shall show: one prompt or a list of P; None where
                `prompt_embeds` is given.
            image: What to repaint: a picture, a list of P, or a batch (see
                `kandinsky_core.pictures.inputs`), resized to `height` and `width`.
            mask_image: White where to repaint: a mask, a list of P, or a batch (see
                `image_inputs.as_masks`), resized likewise.
            num_inference_steps: Steps of the UNet.
            guidance_scale: w in (w + 1) conditional - w unconditional; off at 1 and below.
            negative_prompt: What the picture shall not be: one text for all or one for each.
            num_images_per_prompt: n; the result has B = P * n pictures.
            height: Height in pixels, any; None takes that of a PIL picture, scaled down where it
                has more than 1024 x 1024 pixels, else 1024.
            width: Width in pixels.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            prompt_embeds: States of the prompts [P, L, H], as `encode_prompt` gives them.
            negative_prompt_embeds: Likewise of the negative prompts.
            attention_mask: Mask of `prompt_embeds` [P, L].
            negative_attention_mask: Mask of `negative_prompt_embeds`.
            output_type: `pil`, `np` (float32 [B, height, width, 3] in [0, 1]), or `latent`.
            return_dict: False returns a plain tuple.
            latents: Initial noise [B, C, h, w]; drawn when None.
            callback_on_step_end: Called as `callback(pipe, step, timestep, values)`; what it
                returns replaces the values.
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets.
            paste_back: Put the kept pixels into the finished picture exactly as they were. Without
                it all of it is painted, the kept part much as it was.
            beautify: Expands each prompt first: True takes neural-chat-7b-v3-1, a text another
                language model (hub id or folder), or a callable of a text; see
                `kandinsky_core.PromptBeautifier`, of which one is made once for many calls.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range, or the mask leaves
                nothing to repaint.
            NonFiniteError: A network gave NaN or infinity.
        """
        height, width = picture_size(image, height, width, _LARGEST)
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.check_paste_back(paste_back, plan)
        texts = self.check_texts(
            prompt,
            negative_prompt,
            beautify,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            attention_mask=attention_mask,
            negative_attention_mask=negative_attention_mask,
        )
        pixels, masks = self.check_image(image, plan), self.check_mask(mask_image, plan)
        run = self._begin(texts, plan, num_images_per_prompt, generator, seed)
        noise, facts = self._noise(run.source, latents, plan, run.count)
        known = doubled(self._known(pixels, masks, run.count, plan), plan.guided)
        inputs = DecoderInputs(
            sample=noise * np.float32(plan.schedule.init_noise_sigma),
            conditioning={**run.conditioning, "image_latents": known},
            finish=pasting(pixels, masks, plan) if paste_back else None,
            facts={"image": "given", "mask_image": "given", **facts},
            own_facts=run.facts,
        )
        return self._pictures(
            plan,
            run.source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )

    def _known(
        self, pixels: FloatArray, masks: FloatArray, count: int, plan: DecoderPlan
    ) -> FloatArray:
        """Return what the UNet reads beside the sample, [B, 1 + C, h, w].

        That is the mask, 1 where the picture is kept, and the latents of the picture with the rest
        of it in mid-grey.
        """
        rows = max(len(pixels), len(masks))
        pixels, masks = one_for_each("image", pixels, rows), one_for_each("mask_image", masks, rows)
        latents = self._latents(pixels * (1 - masks), plan)
        factor = self.movq_scale_factor
        keep = 1 - masks[..., ::factor, ::factor]  # the cells that nearest interpolation takes
        return one_for_each("image", np.concatenate([keep, latents], axis=1), count)
