"""Kandinsky 3: repainting a part of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_soft_masks, resized_rgb
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder, picture_size
from kandinsky_core.pipelines.shared.call_options import Callback
from kandinsky_core.pipelines.shared.decoder import DecoderInputs
from kandinsky_core.pipelines.shared.inpainting import InpaintDecoder, pasting
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.rows import doubled, one_for_each, require_even_shares
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import positive_int

__all__ = ["LARGEST", "Kandinsky3InpaintDecoder", "Kandinsky3InpaintPipeline"]

LARGEST = 1024**2
"""Pixels of the pictures that the UNet was trained with."""


class Kandinsky3InpaintDecoder(Kandinsky3Decoder, InpaintDecoder):
    """Base of the pipelines whose UNet reads the mask and the masked picture beside the sample."""

    def check_evenly(
        self, image: Any, mask_image: Any, paste_back: Any, plan: DecoderPlan
    ) -> dict[str, Any]:
        """Check pictures and masks as `check_inpainting` does, and that they go together.

        Raises:
            InvalidInputError: As `check_inpainting`; or their numbers are no multiples of another.
        """
        found = self.check_inpainting(image, mask_image, paste_back, plan)
        rows = max(len(found["pixels"]), len(found["masks"]))
        require_even_shares("image", found["pixels"], rows)
        require_even_shares("mask_image", found["masks"], rows)
        return found

    def _inputs(self, request: DecoderRequest, conditioning: dict[str, Array]) -> DecoderInputs:
        scale = np.float32(request.plan.schedule.init_noise_sigma)
        noise = self._noise(request)
        known = doubled(self._known(request), request.plan.guided)
        return DecoderInputs(
            sample=noise * scale,
            conditioning={**conditioning, "image_latents": known},
            finish=pasting(request),
        )

    def check_image(self, image: Any, plan: DecoderPlan) -> FloatArray:
        """Return the picture as pixels [N, 3, H, W] in [-1, 1]; see `InpaintDecoder`."""
        if self._as_authors:
            image = resized_rgb(image, plan.height, plan.width)
        return super().check_image(image, plan)

    def check_mask(self, mask_image: Any, plan: DecoderPlan) -> FloatArray:
        """Return masks [N, 1, H, W]; see `InpaintDecoder`. For the authors, soft ones stay soft.

        Raises:
            InvalidInputError: The mask image is no mask, or it leaves nothing to repaint.
        """
        if not self._as_authors:
            return super().check_mask(mask_image, plan)
        masks = as_soft_masks("mask_image", mask_image, plan.height, plan.width)
        for row, mask in enumerate(masks):
            if not mask.any():
                raise InvalidInputError(
                    f"mask_image {row} is all black: white is repainted, black is kept"
                )
        return masks

    def _known(self, request: DecoderRequest) -> FloatArray:
        """Return what the UNet reads beside the sample, [B, 1 + C, h, w].

        These are the mask, 1 where the picture is kept, and the latents of the picture, which is
        mid-grey where it is not wholly kept.
        """
        assert request.pixels is not None
        assert request.masks is not None
        rows = max(len(request.pixels), len(request.masks))
        pixels, keep = one_for_each(request.pixels, rows), one_for_each(1 - request.masks, rows)
        latents = self._encode_pixels(pixels * (keep == 1))
        factor = self.movq_scale_factor
        cells = keep[..., ::factor, ::factor]  # those that nearest interpolation takes
        return one_for_each(np.concatenate([cells, latents], axis=1), request.count)


class Kandinsky3InpaintPipeline(Kandinsky3InpaintDecoder):
    """Inpainting with the UNet that reads the mask and the masked picture beside the sample.

    Source: `get_inpainting_pipeline` of ai-forever/Kandinsky-3; diffusers has none. Differences:
    negative prompts work, and so do masks of booleans. Unless `convention` is `authors`, the
    picture keeps its size (there it is rounded down to multiples of 64), up to as many pixels as
    1024 x 1024 have, and a mask is white or black from one half on (there it may be soft).
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts | None = None,
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
    ) -> DecoderRequest:
        """Check a request for pictures that are repainted in part.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            guidance_scale: Weight w in (w + 1) conditional - w unconditional; off at 1 and below.
            height: Height in pixels, any; None takes the height of a PIL picture, scaled down where
                it has more than 1024 x 1024 pixels, else 1024.
            paste_back: Put the kept pixels back exactly. Without it the whole picture is painted
                anew, the kept part much as it was.
        """
        height, width = self._size(*picture_size(image, height, width, LARGEST), halvings=2)
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
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
        count = texts.count * positive_int("num_images_per_prompt", num_images_per_prompt)
        found = self.check_evenly(image, mask_image, paste_back, plan)
        return self._request(
            plan,
            options,
            count,
            generator,
            seed,
            latents=latents,
            texts=texts,
            **found,
        )

    __call__ = prepared_call(prepare)
