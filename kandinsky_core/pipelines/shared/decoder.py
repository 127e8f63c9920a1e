"""What the decoders of all families share: the plan, the loop, the way out to pixels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import denoise, require_finite
from kandinsky_core.denoising.noise import (
    SeededGenerators,
    draw_normal,
    picture_seeds,
)
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_images, padded
from kandinsky_core.pictures.metadata import versions
from kandinsky_core.pictures.outputs import IMAGE_OUTPUT_TYPES, latent_size, to_pil, to_unit_range
from kandinsky_core.pipelines.shared.base import Callback, DiffusionPipeline
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.seam.networks import Autoencoder, Denoiser
from kandinsky_core.seam.step_rules import Kept
from kandinsky_core.validation import as_batch, one_of, positive_int, real_number

__all__ = [
    "DecoderInputs",
    "DecoderPipeline",
    "DecoderPlan",
    "doubled",
    "first_step",
    "one_for_each",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPlan:
    """A checked request to the decoder.

    Attributes:
        height: Pixels.
        width: Pixels.
        num_inference_steps: Steps of the whole loop, of which `strength` takes the last.
        guidance_scale: Guidance is on above 1.
        strength: Share of the steps that image to image takes; None elsewhere.
        output_type: `pil`, `np` or `latent`.
        schedule: The steps that are taken.
        latent_shape: (C, h, w) of one latent.
    """

    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    strength: float | None
    output_type: str
    schedule: Schedule
    latent_shape: tuple[int, int, int]

    @property
    def guided(self) -> bool:
        """Whether unconditional rows run beside the conditional ones."""
        return self.guidance_scale > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderInputs:
    """What a task hands to the loop.

    Attributes:
        sample: Where the loop starts, [B, C, h, w].
        conditioning: For `Denoiser.begin`.
        kept: What inpainting puts back after every step.
        finish: Changes the finished pictures, float32 [B, height, width, 3] in [0, 1].
        facts: For the metadata of every picture.
        own_facts: For that of each one.
    """

    sample: FloatArray
    conditioning: Mapping[str, Array]
    kept: Kept | None = None
    finish: Callable[[FloatArray], FloatArray] | None = None
    facts: Mapping[str, Any]
    own_facts: Sequence[Mapping[str, Any]] = ()


class DecoderPipeline(DiffusionPipeline):
    """Base of the decoders of all families: a UNet denoises latents, MoVQ decodes them.

    Attributes:
        kind: The UNet that the task needs: `decoder`, `inpaint` or `controlnet`.
    """

    component_names: ClassVar[tuple[str, ...]] = ("unet", "scheduler", "movq")
    kind: ClassVar[str] = "decoder"

    def __init__(
        self, unet: Denoiser, scheduler: Scheduler, movq: Autoencoder, **others: Any
    ) -> None:
        super().__init__(**others, unet=unet, scheduler=scheduler, movq=movq)
        self.unet: Denoiser
        self.scheduler: Scheduler
        self.movq: Autoencoder
        self.check_configs({"unet": getattr(unet, "config", None)})

    @property
    def _leading(self) -> Denoiser:
        return self.unet

    @property
    def movq_scale_factor(self) -> int:
        """Pixels to a latent cell along a side: 8 for the published models."""
        return self.movq.scale_factor

    @property
    @abstractmethod
    def default_size(self) -> int:
        """Side in pixels that the UNet was trained at."""

    def plan(
        self,
        height: int | None,
        width: int | None,
        num_inference_steps: int,
        guidance_scale: float,
        output_type: str,
        strength: float | None = None,
    ) -> DecoderPlan:
        """Check the part of a request that neither embedding nor picture is needed for.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        height = positive_int("height", self.default_size if height is None else height)
        width = positive_int("width", self.default_size if width is None else width)
        steps = positive_int("num_inference_steps", num_inference_steps)
        start = 0 if strength is None else first_step(strength, steps)
        return DecoderPlan(
            height=height,
            width=width,
            num_inference_steps=steps,
            guidance_scale=real_number("guidance_scale", guidance_scale),
            strength=strength,
            output_type=one_of("output_type", output_type, IMAGE_OUTPUT_TYPES),
            schedule=self.scheduler.schedule(steps, start),
            latent_shape=(
                self.movq.config.latent_channels,
                latent_size(height, self.movq_scale_factor),
                latent_size(width, self.movq_scale_factor),
            ),
        )

    def check_image(self, image: Any, plan: DecoderPlan) -> FloatArray:
        """Return a picture to start from as pixels [N, 3, H, W] in [-1, 1], or as latents.

        Pixels get the size of the plan, and are continued to whole latents by their last row and
        column. A batch of as many channels as latents have, or a list of such, is one of latents.

        Raises:
            InvalidInputError: It is neither.
        """
        channels, height, width = plan.latent_shape
        items = image if isinstance(image, (list, tuple)) else [image]
        if items and all(_is_batch(item, channels) for item in items):
            return as_batch("image (as latents)", image, (None, channels, height, width))
        factor = self.movq_scale_factor
        pixels = as_images("image", image, plan.height, plan.width)
        return padded(pixels, height * factor, width * factor)

    def _latents(self, image: FloatArray, plan: DecoderPlan) -> FloatArray:
        """Encode what `check_image` gave; latents pass."""
        if image.shape[1] == plan.latent_shape[0]:
            return image
        latents = self.movq.encode(image)
        require_finite(latents, "MoVQ", self.movq.dtype)
        return latents

    def _noise(
        self, source: SeededGenerators, latents: Any, plan: DecoderPlan, count: int
    ) -> tuple[FloatArray, dict[str, str]]:
        """Return the initial noise, and what the metadata says of it."""
        shape = (count, *plan.latent_shape)
        if latents is None:
            return draw_normal(source.generators, shape), {}
        return as_batch("latents", latents, shape), {"latents": "given"}

    def _pictures(
        self,
        plan: DecoderPlan,
        source: SeededGenerators,
        inputs: DecoderInputs,
        callback: Callback | None,
        callback_names: Sequence[str],
        return_dict: bool,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Run the loop and decode."""
        shape = inputs.sample.shape
        schedule, conditioning = plan.schedule, inputs.conditioning
        with self._steps(len(schedule), conditioning, callback, callback_names) as on_step:
            latents = denoise(
                self.unet,
                inputs.sample,
                schedule,
                conditioning,
                guidance_scale=self._loop_guidance(plan),
                noise=lambda: draw_normal(source.generators, shape),
                on_step=on_step,
                kept=inputs.kept,
            )
        require_finite(latents, "the UNet", self.unet.dtype)
        seeds = picture_seeds(source, shape[0])
        rows = zip(seeds, inputs.own_facts or [{}] * len(seeds), strict=True)
        metadata = [{**own, **seed, **inputs.facts, **self._facts(plan)} for seed, own in rows]
        output = ImagePipelineOutput(self._images(latents, plan, inputs.finish), metadata)
        return output if return_dict else output.to_tuple()

    def _loop_guidance(self, plan: DecoderPlan) -> float:
        """Return the weight of `unconditional + weight * (conditional - unconditional)`."""
        return plan.guidance_scale

    def _images(
        self,
        latents: FloatArray,
        plan: DecoderPlan,
        finish: Callable[[FloatArray], FloatArray] | None,
    ) -> Any:
        if plan.output_type == "latent":
            return latents
        pixels = self.movq.decode(latents)
        require_finite(pixels, "MoVQ", self.movq.dtype)
        images = to_unit_range(pixels, plan.height, plan.width)
        if finish is not None:
            images = finish(images)
        return to_pil(images) if plan.output_type == "pil" else images

    def _facts(self, plan: DecoderPlan) -> dict[str, Any]:
        strength = {} if plan.strength is None else {"strength": plan.strength}
        return {
            "height": plan.height,
            "width": plan.width,
            "num_inference_steps": plan.num_inference_steps,
            "guidance_scale": plan.guidance_scale,
            **strength,
            "scheduler": type(self.scheduler).__name__,
            **self._tiling_facts(),
            **self.origin,
            "backend": self.backend,
            "device": self.device,
            "dtype": self.dtype,
            "versions": versions(),
        }

    def _tiling_facts(self) -> dict[str, Any]:
        tiling = self.movq.tiling
        if tiling is None:
            return {}
        return {
            "movq_tile_size": tiling.size * tiling.factor,
            "movq_tile_overlap": tiling.overlap * tiling.factor,
        }


def _is_batch(item: Any, channels: int) -> bool:
    return getattr(item, "ndim", 0) == 4 and item.shape[1] == channels


def first_step(strength: Any, steps: int) -> int:
    """Return the index of the first step that image to image takes.

    Raises:
        InvalidInputError: `strength` lies outside (0, 1], or leaves no step to take.
    """
    share = real_number("strength", strength)
    if not 0 < share <= 1:
        raise InvalidInputError(f"strength={strength!r}: give a number above 0 and up to 1")
    taken = int(steps * share)
    if taken < 1:
        raise InvalidInputError(
            f"strength={strength!r} of {steps} steps leaves none to take: give at least "
            f"num_inference_steps={math.ceil(1 / max(share, 1e-9))}, or more strength"
        )
    return steps - taken


def one_for_each(name: str, rows: FloatArray, count: int) -> FloatArray:
    """Repeat one row for all pictures, or each of several for its neighbours.

    Raises:
        InvalidInputError: The pictures cannot be shared out evenly.
    """
    if count % len(rows):
        raise InvalidInputError(
            f"{name} holds {len(rows)} pictures for {count} to make: give one for all, or one for "
            "each prompt or embedding"
        )
    return np.repeat(rows, count // len(rows), axis=0)


def doubled(rows: FloatArray, guided: bool) -> FloatArray:
    """Repeat conditioning that unconditional and conditional rows share."""
    return np.concatenate([rows, rows]) if guided else rows
