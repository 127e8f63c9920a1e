"""Kandinsky 2.2, second half: from image embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.denoise import denoise, require_finite
from kandinsky_core.images import IMAGE_OUTPUT_TYPES, latent_size, to_pil, to_unit_range
from kandinsky_core.interfaces import Array, Autoencoder, Denoiser, FloatArray
from kandinsky_core.metadata import picture_seeds, versions
from kandinsky_core.noise import as_generators, draw_normal
from kandinsky_core.pipelines.base import Callback, DiffusionPipeline
from kandinsky_core.pipelines.outputs import ImagePipelineOutput
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.validation import as_batch, one_of, positive_int, real_number

__all__ = ["DecoderPlan", "KandinskyV22Pipeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPlan:
    """A checked request to the decoder.

    Attributes:
        height: Pixels.
        width: Pixels.
        guidance_scale: Guidance is on above 1.
        output_type: `pil`, `np` or `latent`.
        schedule: The steps.
        latent_shape: (C, h, w) of one latent.
    """

    height: int
    width: int
    guidance_scale: float
    output_type: str
    schedule: Schedule
    latent_shape: tuple[int, int, int]

    @property
    def guided(self) -> bool:
        """Whether unconditional rows run beside the conditional ones."""
        return self.guidance_scale > 1


class KandinskyV22Pipeline(DiffusionPipeline):
    """Latent diffusion decoder: CLIP image embeddings in, pictures out.

    Source: diffusers' pipeline of the same name. Differences: the picture has the size asked for
    (the reference rounds up to a multiple of 64), and embeddings are repeated for several pictures
    with guidance off too.
    """

    component_names: ClassVar[tuple[str, ...]] = ("unet", "scheduler", "movq")
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "image_embeds")

    def __init__(self, unet: Denoiser, scheduler: Scheduler, movq: Autoencoder) -> None:
        super().__init__(unet=unet, scheduler=scheduler, movq=movq)
        self.unet: Denoiser
        self.scheduler: Scheduler
        self.movq: Autoencoder

    @property
    def movq_scale_factor(self) -> int:
        """Pixels to a latent cell along a side: 8 for the published models."""
        return int(2 ** (len(self.movq.config.block_out_channels) - 1))

    @property
    def default_size(self) -> int:
        """Side in pixels that the UNet was trained at: 512 for the published models."""
        return int(self.unet.config.sample_size * self.movq_scale_factor)

    def __call__(
        self,
        image_embeds: Array | Sequence[Array],
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
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            image_embeds: From the prior: [E, D], or a list of such.
            negative_image_embeds: Likewise; needed when `guidance_scale` > 1.
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
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets. In
                `image_embeds` the unconditional rows come first when guidance is on.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        copies = positive_int("num_images_per_prompt", num_images_per_prompt)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        embeds = self._condition(image_embeds, negative_image_embeds, copies, plan.guided)
        count = len(embeds) // 2 if plan.guided else len(embeds)
        source = as_generators(generator, seed, count)
        pictures = picture_seeds(source, count)
        shape = (count, *plan.latent_shape)
        if latents is None:
            latents = draw_normal(source.generators, shape)
        else:
            latents = as_batch("latents", latents, shape)
            pictures = [{**row, "latents": "given"} for row in pictures]
        conditioning = {"image_embeds": embeds}
        with self._steps(
            len(plan.schedule),
            conditioning,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
        ) as on_step:
            latents = denoise(
                self.unet,
                latents * np.float32(plan.schedule.init_noise_sigma),
                plan.schedule,
                conditioning,
                guidance_scale=plan.guidance_scale,
                noise=lambda: draw_normal(source.generators, shape),
                on_step=on_step,
            )
        require_finite(latents, "the UNet", self.unet.dtype)
        images = self._images(latents, plan)
        output = ImagePipelineOutput(images, self._metadata(plan, pictures))
        return output if return_dict else output.to_tuple()

    def plan(
        self,
        height: int | None,
        width: int | None,
        num_inference_steps: int,
        guidance_scale: float,
        output_type: str,
    ) -> DecoderPlan:
        """Check the part of a request that no embedding is needed for.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        height = positive_int("height", self.default_size if height is None else height)
        width = positive_int("width", self.default_size if width is None else width)
        return DecoderPlan(
            height=height,
            width=width,
            guidance_scale=real_number("guidance_scale", guidance_scale),
            output_type=one_of("output_type", output_type, IMAGE_OUTPUT_TYPES),
            schedule=self.scheduler.schedule(num_inference_steps),
            latent_shape=(
                self.movq.config.latent_channels,
                latent_size(height, self.movq_scale_factor),
                latent_size(width, self.movq_scale_factor),
            ),
        )

    def _condition(
        self, embeds: Any, negative_embeds: Any, copies: int, guided: bool
    ) -> FloatArray:
        """Check and repeat the embeddings; the unconditional rows come first."""
        size = self.unet.config.encoder_hid_dim
        positive = as_batch("image_embeds", embeds, (None, size))
        rows = [positive]
        if guided:
            rows = [as_batch("negative_image_embeds", negative_embeds, positive.shape), positive]
        return np.concatenate([np.repeat(row, copies, axis=0) for row in rows])

    def _images(self, latents: FloatArray, plan: DecoderPlan) -> Any:
        if plan.output_type == "latent":
            return latents
        pixels = self.movq.decode(latents)
        require_finite(pixels, "MoVQ", self.movq.dtype)
        images = to_unit_range(pixels, plan.height, plan.width)
        return to_pil(images) if plan.output_type == "pil" else images

    def _metadata(self, plan: DecoderPlan, pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
        shared = {
            "height": plan.height,
            "width": plan.width,
            "num_inference_steps": len(plan.schedule),
            "guidance_scale": plan.guidance_scale,
            "scheduler": type(self.scheduler).__name__,
            **self.origin,
            "backend": self.backend,
            "device": self.device,
            "dtype": self.dtype,
            "versions": versions(),
        }
        return [{**own, **shared} for own in pictures]
