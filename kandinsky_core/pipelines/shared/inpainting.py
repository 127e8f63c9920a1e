"""What the inpainting decoders share: masks, kept latents, kept pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_masks, padded
from kandinsky_core.pictures.outputs import to_unit_range
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.decoder import DecoderInputs, DecoderPipeline
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.rows import doubled, one_for_each
from kandinsky_core.seam.step_rules import Kept

__all__ = ["InpaintDecoder", "keep_mask", "pasting"]


class InpaintDecoder(DecoderPipeline):
    """Base of the decoders that repaint the masked part of a picture.

    Attributes:
        blends: Whether the kept latents are put back after every step, whatever the scheduler.
    """

    part: ClassVar[str] = "inpaint"
    kind: ClassVar[str] = "inpaint"
    blends: ClassVar[bool] = False
    # Channels of `image_latents`, under diffusers' names of them.
    callback_views: ClassVar[Mapping[str, View]] = {
        "masked_image": View("image_latents", channels=slice(None, -1)),
        "mask_image": View("image_latents", channels=slice(-1, None)),
    }

    def check_image(self, image: Any, plan: DecoderPlan) -> FloatArray:
        """Return the picture as pixels [N, 3, H, W] in [-1, 1], padded to whole latent cells.

        Raises:
            InvalidInputError: The image is no picture. Latents do not do: the mask is of pixels.
        """
        found = super().check_image(image, plan)
        if found.shape[1] != 3:
            raise InvalidInputError("image holds latents: inpainting needs pixels")
        return found

    def check_mask(self, mask_image: Any, plan: DecoderPlan) -> FloatArray:
        """Return masks [N, 1, H, W], 1 where repainted, padded to whole latent cells.

        Raises:
            InvalidInputError: The mask image is no mask, or it leaves nothing to repaint.
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

    def check_inpainting(
        self, image: Any, mask_image: Any, paste_back: Any, plan: DecoderPlan
    ) -> dict[str, Any]:
        """Check the picture and its mask, and return the fields of a request that hold them.

        Raises:
            InvalidInputError: The image is no picture, the mask image is no mask, or
                `paste_back` is given where the output is latents.
        """
        if paste_back and plan.output_type == "latent":
            raise InvalidInputError("paste_back works on pixels: not with output_type='latent'")
        return {
            "pixels": self.check_image(image, plan),
            "masks": self.check_mask(mask_image, plan),
            "paste_back": bool(paste_back),
        }

    def _keep(self, masks: FloatArray) -> FloatArray:
        # every factor-th pixel, which is what nearest interpolation takes
        factor = self.movq_scale_factor
        return keep_mask(masks[..., ::factor, ::factor])

    def _inputs(self, request: DecoderRequest, conditioning: dict[str, Array]) -> DecoderInputs:
        """Encode the picture, and lay out what the UNet reads beside the latents."""
        plan, count = request.plan, request.count
        assert request.masks is not None
        original = one_for_each(self._latents(request), count)  # it may draw first
        noise = self._noise(request)
        keep = one_for_each(self._keep(request.masks), count)  # [B, 1, h, w]
        image_latents = np.concatenate([original * keep, keep], axis=1)
        blends = self.blends or plan.schedule.rule.blends_x0
        return DecoderInputs(
            sample=noise * np.float32(plan.schedule.init_noise_sigma),
            conditioning={**conditioning, "image_latents": doubled(image_latents, plan.guided)},
            kept=Kept(original=original, noise=noise, mask=keep) if blends else None,
            finish=pasting(request),
        )


def keep_mask(repaint: FloatArray) -> FloatArray:
    """Return 1 for each latent cell to keep: it is not repainted, and no neighbour of it is.

    The neighbours above right and below left do not count. The reference leaves them out too, and
    the published UNet was trained with such masks.

    Args:
        repaint: [N, 1, h, w] of 0 and 1.
    """
    height, width = repaint.shape[-2:]
    around = np.pad(repaint, [(0, 0), (0, 0), (1, 1), (1, 1)])
    shifts = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2))
    touched = [around[..., y : y + height, x : x + width] for y, x in shifts]
    kept: FloatArray = 1 - np.max(touched, axis=0)
    return kept


def pasting(request: DecoderRequest) -> Callable[[FloatArray], FloatArray] | None:
    """Return a function that puts the kept pixels back; None where the caller wants none."""
    if not request.paste_back:
        return None
    assert request.pixels is not None
    assert request.masks is not None
    height, width = request.plan.height, request.plan.width
    original = to_unit_range(request.pixels, height, width)
    keep = request.masks.transpose(0, 2, 3, 1)[:, :height, :width] < 0.5  # [N, H, W, 1]

    def paste(images: FloatArray) -> FloatArray:
        count = len(images)
        kept = np.repeat(keep, count // len(keep), axis=0)
        return np.where(kept, np.repeat(original, count // len(original), axis=0), images)

    return paste
