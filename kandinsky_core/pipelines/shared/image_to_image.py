"""What the decoders share that start from a picture."""

from __future__ import annotations

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.noise import SeededGenerators, draw_normal
from kandinsky_core.pipelines.shared.decoder import (
    DecoderPipeline,
    DecoderPlan,
    one_for_each,
)
from kandinsky_core.validation import real_number

__all__ = ["Img2ImgDecoder"]


class Img2ImgDecoder(DecoderPipeline):
    """Base of the decoders that start from a picture."""

    def plan(
        self,
        height: int | None,
        width: int | None,
        num_inference_steps: int,
        guidance_scale: float,
        output_type: str,
        strength: float | None = None,
    ) -> DecoderPlan:
        """See `DecoderPipeline.plan`; None is no strength here."""
        share = real_number("strength", strength)
        return super().plan(height, width, num_inference_steps, guidance_scale, output_type, share)

    def _start(
        self, image: FloatArray, plan: DecoderPlan, source: SeededGenerators, count: int
    ) -> FloatArray:
        """Encode pictures of `check_image` and noise them to the first step that is taken."""
        latents = one_for_each("image", self._latents(image, plan), count)
        return plan.schedule.noised(latents, draw_normal(source.generators, latents.shape))
