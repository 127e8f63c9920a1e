"""Kandinsky 2.2: repainting the masked part of a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.image_inputs import as_masks, padded
from kandinsky_core.images import to_unit_range
from kandinsky_core.interfaces import Array, FloatArray
from kandinsky_core.pipelines.base import Callback
from kandinsky_core.pipelines.kandinsky2_2_decoder import (
    DecoderInputs,
    DecoderPlan,
    KandinskyV22Decoder,
    doubled,
    one_for_each,
    seeded,
)
from kandinsky_core.pipelines.outputs import ImagePipelineOutput
from kandinsky_core.step_rules import Kept

__all__ = ["KandinskyV22InpaintPipeline", "keep_mask"]


class KandinskyV22InpaintPipeline(KandinskyV22Decoder):
    """Inpainting: white pixels of the mask are repainted, black ones kept.

    Source: diffusers' pipeline of the same name, whose mask has this meaning since 0.19.
    Differences: each picture of a batch keeps its own pixels (the reference blends all with the
    first), the mask that is passed in stays as it was, any size of picture and mask is resized to
    the size asked for, and embeddings are repeated for several pictures with guidance off too.
    """

    part: ClassVar[str] = "inpaint"
    kind: ClassVar[str] = "inpaint"
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "image_embeds",
        "image_latents",
    )

    def __call__(
        self,
        image_embeds: Array | Sequence[Array],
        image: Any,
        mask_image: Any,
        negative_image_embeds: Array | Sequence[Array] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
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
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            image_embeds: From the prior: [E, D], or a list of such.
            image: What to repaint: a picture, a list of E, or a batch (see
                `kandinsky_core.image_inputs`), resized to `height` and `width`.
            mask_image: White where to repaint: a mask, a list of E, or a batch (see
                `image_inputs.as_masks`), resized likewise. The repainted region grows by the
                neighbours of its latent cells, as in the reference.
            negative_image_embeds: As `image_embeds`; needed when `guidance_scale` > 1.
            height: Height in pixels, any; None takes the model's own (512 for the published ones).
            width: Width in pixels.
            num_inference_steps: Steps of the UNet.
            guidance_scale: Classifier-free guidance; off at 1 and below.
            num_images_per_prompt: n; the result has B = E * n pictures.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            latents: Initial noise [B, C, h, w]; drawn when None.
            output_type: `pil`, `np` (float32 [B, height, width, 3] in [0, 1]), or `latent`.
            return_dict: False returns a plain tuple.
            callback_on_step_end: Called as `callback(pipe, step, timestep, values)`; what it
                returns replaces the values.
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets.
            paste_back: Put the kept pixels into the finished picture exactly as they were. Without
                it they pass through MoVQ, which changes them a little.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range, or the mask leaves
                nothing to repaint.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.check_paste_back(paste_back, plan)
        pixels, masks = self.check_image(image, plan), self.check_mask(mask_image, plan)
        embeds = self._embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan.guided
        )
        source, count = seeded(generator, seed, embeds, plan.guided)
        noise, facts = self._noise(source, latents, plan, count)
        original = one_for_each("image", self._latents(pixels, plan), count)
        keep = one_for_each("mask_image", self._keep(masks), count)  # [B, 1, h, w]
        inputs = DecoderInputs(
            sample=noise * np.float32(plan.schedule.init_noise_sigma),
            conditioning={
                "image_embeds": embeds,
                "image_latents": doubled(
                    np.concatenate([original * keep, keep], axis=1), plan.guided
                ),
            },
            kept=Kept(original=original, noise=noise, mask=keep),
            finish=_pasting(pixels, masks, plan) if paste_back else None,
            facts={"image": "given", "mask_image": "given", **facts},
        )
        return self._pictures(
            plan,
            source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )

    def check_image(self, image: Any, plan: DecoderPlan) -> FloatArray:
        """Return the picture as pixels [N, 3, H, W] in [-1, 1], continued to whole latents.

        Raises:
            InvalidInputError: It is no picture; latents, which a mask of pixels does not fit, too.
        """
        found = super().check_image(image, plan)
        if found.shape[1] != 3:
            raise InvalidInputError("image holds latents: inpainting needs pixels")
        return found

    def check_mask(self, mask_image: Any, plan: DecoderPlan) -> FloatArray:
        """Return masks [N, 1, H, W], 1 where repainted, continued to whole latents.

        Raises:
            InvalidInputError: It is no mask, or leaves nothing to repaint.
        """
        _, height, width = plan.latent_shape
        factor = self.movq_scale_factor
        masks = as_masks("mask_image", mask_image, plan.height, plan.width)
        masks = padded(masks, height * factor, width * factor)
        for row, cells in enumerate(masks[..., ::factor, ::factor]):
            if not cells.any():
                fine = (
                    f"has no white pixel on the grid of {factor} pixels that counts: it is too fine"
                )
                raise InvalidInputError(
                    f"mask_image {row} {fine if masks[row].any() else 'has no white pixel'}; "
                    "white is repainted, black is kept"
                )
        return masks

    def check_paste_back(self, paste_back: Any, plan: DecoderPlan) -> None:
        """Check whether pixels can be put back.

        Raises:
            InvalidInputError: There will be none, but latents.
        """
        if paste_back and plan.output_type == "latent":
            raise InvalidInputError("paste_back works on pixels: not with output_type='latent'")

    def _keep(self, masks: FloatArray) -> FloatArray:
        # every factor-th pixel, which is what nearest interpolation takes
        factor = self.movq_scale_factor
        return keep_mask(masks[..., ::factor, ::factor])


def keep_mask(repaint: FloatArray) -> FloatArray:
    """Return 1 for latent cells to keep: those that are not repainted, nor next to such.

    Of the eight neighbours the two on the falling diagonal's other side, above right and below
    left, do not count: so the reference has it, and the published UNet was trained with it.

    Args:
        repaint: [N, 1, h, w] of 0 and 1.
    """
    height, width = repaint.shape[-2:]
    around = np.pad(repaint, [(0, 0), (0, 0), (1, 1), (1, 1)])
    shifts = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2))
    touched = [around[..., y : y + height, x : x + width] for y, x in shifts]
    kept: FloatArray = 1 - np.max(touched, axis=0)
    return kept


def _pasting(
    pixels: FloatArray, masks: FloatArray, plan: DecoderPlan
) -> Callable[[FloatArray], FloatArray]:
    """Return what puts the kept pixels back."""
    height, width = plan.height, plan.width
    original = to_unit_range(pixels, height, width)
    keep = masks.transpose(0, 2, 3, 1)[:, :height, :width] < 0.5  # [N, H, W, 1]

    def paste(images: FloatArray) -> FloatArray:
        count = len(images)
        kept = np.repeat(keep, count // len(keep), axis=0)
        return np.where(kept, np.repeat(original, count // len(original), axis=0), images)

    return paste
