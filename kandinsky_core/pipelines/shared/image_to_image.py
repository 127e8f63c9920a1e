"""What the image-to-image decoders of all families share: the noised picture they start from."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.denoising.noise import draw_normal
from kandinsky_core.image_processor import VaeImageProcessor
from kandinsky_core.pipelines.shared.decoder import DecoderInputs, DecoderPipeline
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.rows import one_for_each
from kandinsky_core.validation import real_number

__all__ = ["Img2ImgDecoder"]


class Img2ImgDecoder(DecoderPipeline):
    """Base of the decoders that start from a picture."""

    tensors_of_pixels: ClassVar[bool] = False

    @property
    def image_processor(self) -> VaeImageProcessor:
        """Turns pictures into the arrays that MoVQ reads, and back, as the pipeline does."""
        return VaeImageProcessor(self.movq.scale_factor, resample="bicubic", reducing_gap=1)

    def plan(
        self,
        height: int | None,
        width: int | None,
        num_inference_steps: int,
        guidance_scale: float,
        output_type: str,
        strength: float | None = None,
    ) -> DecoderPlan:
        """See `DecoderPipeline.plan`; here a strength is required, so None is refused."""
        share = real_number("strength", strength)
        return super().plan(height, width, num_inference_steps, guidance_scale, output_type, share)

    def _inputs(self, request: DecoderRequest, conditioning: dict[str, Array]) -> DecoderInputs:
        return DecoderInputs(sample=self._start(request), conditioning=conditioning)

    def _start(self, request: DecoderRequest) -> FloatArray:
        """Encode the pictures and noise them to the first step that is taken, [B, C, h, w]."""
        generators, schedule = request.source.generators, request.plan.schedule
        assert request.pixels is not None
        if request.one_start and len(request.pixels) == 1 and isinstance(generators, Generator):
            latents = self._latents(request)
            started = schedule.noised(latents, draw_normal(generators, latents.shape))
            return np.repeat(started, request.count, axis=0)
        latents = self._image_latents(request)
        return schedule.noised(latents, draw_normal(generators, latents.shape))

    def _image_latents(self, request: DecoderRequest) -> FloatArray:
        """Return the latents of the picture that each of the B pictures starts from."""
        latents = self._latents(request)
        return one_for_each(latents, request.count)
