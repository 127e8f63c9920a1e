"""What the decoders of all families share: the plan, the loop, the way out to pixels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import denoise, require_finite
from kandinsky_core.denoising.noise import as_generators, draw_normal, picture_seeds
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_images, padded
from kandinsky_core.pictures.metadata import versions
from kandinsky_core.pictures.outputs import (
    IMAGE_OUTPUT_TYPES,
    latent_size,
    to_pil,
    to_unit_range,
)
from kandinsky_core.pictures.torch_tensors import as_torch, require_torch_for
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.room import require_room_for_pictures
from kandinsky_core.pipelines.shared.rows import require_even_shares
from kandinsky_core.schedulers import Schedule, Scheduler
from kandinsky_core.seam.control import LoopNetwork
from kandinsky_core.seam.networks import Autoencoder, Denoiser, Network
from kandinsky_core.seam.step_rules import Kept
from kandinsky_core.validation import as_batch, one_of, positive_int, real_number

__all__ = [
    "DecoderInputs",
    "DecoderPipeline",
    "first_step",
]


_SIDE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderInputs:
    """The inputs of one denoising loop, which each task makes in its own way.

    Attributes:
        sample: Where the loop starts, [B, C, h, w].
        conditioning: The arrays that the UNet reads beside the sample; see `Denoiser.begin`.
        kept: The part of the picture that inpainting puts back after every step; or None.
        finish: Changes the finished pictures, float32 [B, height, width, 3] in [0, 1]; or None.
    """

    sample: FloatArray
    conditioning: Mapping[str, Array]
    kept: Kept | None = None
    finish: Callable[[FloatArray], FloatArray] | None = None


class DecoderPipeline(DiffusionPipeline):
    """Base of the decoders of all families: a UNet denoises latents, MoVQ decodes them.

    Attributes:
        kind: The UNet that the task needs: `decoder`, `inpaint` or `controlnet`.
        autoencoder_name: The component's name; `movq` is always another name of it.
        tensors_of_pixels: Whether `output_type="pt"` gives MoVQ's pixels as they are, about -1 to
            1, as diffusers' pipelines do but for image to image; else it gives 0 to 1.
    """

    component_names: ClassVar[tuple[str, ...]] = ("unet", "scheduler", "movq")
    kind: ClassVar[str] = "decoder"
    autoencoder_name: ClassVar[str] = "movq"
    tensors_of_pixels: ClassVar[bool] = True

    def __init__(
        self, unet: Denoiser, scheduler: Scheduler, movq: Autoencoder, **others: Any
    ) -> None:
        super().__init__(**others, unet=unet, scheduler=scheduler, movq=movq)
        self.unet: Denoiser
        self.scheduler: Scheduler
        self.movq: Autoencoder
        self.check_configs({"unet": getattr(unet, "config", None)})

    @property
    def _leading(self) -> Network:
        # The UNet may be left out, where only texts are encoded.
        return super()._leading if self.unet is None else self.unet

    @property
    def _looped(self) -> LoopNetwork:
        """What the loop runs."""
        return self.unet

    @property
    def _sampler(self) -> Scheduler:
        return self.scheduler

    @property
    def movq_scale_factor(self) -> int:
        """Pixels to a latent cell along a side: 8 for the published models."""
        return self.movq.scale_factor

    @property
    def default_size(self) -> int:
        """Side in pixels that the UNet was trained at: 512 for the published models."""
        return self.trained_side(self.unet.config, self.movq.config)

    @classmethod
    def trained_side(cls, unet: Any, autoencoder: Any) -> int:
        """Return the side in pixels that a UNet was trained at, by the configs of the networks.

        A config that does not say has 512, which diffusers takes for all.
        """
        cells = unet.sample_size
        return (
            _SIDE if cells is None else int(cells * 2 ** (len(autoencoder.block_out_channels) - 1))
        )

    def plan(
        self,
        height: int | None,
        width: int | None,
        num_inference_steps: int,
        guidance_scale: float,
        output_type: str,
        strength: float | None = None,
    ) -> DecoderPlan:
        """Check the part of a request that needs neither embeddings nor pictures.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range, or a network was left out.
            DeviceMemoryError: One picture of this size is too large for the device.
        """
        needed = ("unet", self.autoencoder_name)
        left_out = [name for name in needed if getattr(self, name) is None]
        if left_out:
            raise InvalidInputError(
                f"this pipeline has no {' and no '.join(left_out)}, so it makes no pictures: load "
                "it without leaving them out"
            )
        height = positive_int("height", self.default_size if height is None else height)
        width = positive_int("width", self.default_size if width is None else width)
        steps = positive_int("num_inference_steps", num_inference_steps)
        plan = DecoderPlan(
            height=height,
            width=width,
            num_inference_steps=steps,
            guidance_scale=real_number("guidance_scale", guidance_scale),
            strength=strength,
            output_type=require_torch_for(one_of("output_type", output_type, IMAGE_OUTPUT_TYPES)),
            schedule=self._schedule(steps, strength),
            latent_shape=(
                self.movq.config.latent_channels,
                latent_size(height, self.movq_scale_factor),
                latent_size(width, self.movq_scale_factor),
            ),
        )
        self.require_room(plan, 1)  # before any picture is resized to this size
        return plan

    def _schedule(self, steps: int, strength: float | None) -> Schedule:
        """Return the steps of a call; `strength` takes the last of them."""
        start = 0 if strength is None else first_step(strength, steps)
        return self._sampler.schedule(steps, start)

    def require_room(self, plan: DecoderPlan, count: int) -> None:
        """Refuse so many pictures of a plan where memory surely does not suffice.

        Raises:
            DeviceMemoryError: See `kandinsky_core.pipelines.shared.room`.
        """
        require_room_for_pictures(self.unet, self.movq, plan, count)

    def check_image(self, image: Any, plan: DecoderPlan) -> FloatArray:
        """Return a picture to start from as pixels [N, 3, H, W] in [-1, 1], or as latents.

        Pixels are resized to the size of the plan, and padded to whole latent cells with their
        last row and column. An array [N, C, h, w] with as many channels as latents have counts as
        latents, and so does a list of such arrays.

        Raises:
            InvalidInputError: The image is no picture, or its latents have another shape.
        """
        channels, height, width = plan.latent_shape
        items = image if isinstance(image, (list, tuple)) else [image]
        if items and all(_is_batch(item, channels) for item in items):
            return as_batch("image (as latents)", image, (None, channels, height, width))
        factor = self.movq_scale_factor
        pixels = as_images("image", image, plan.height, plan.width)
        return padded(pixels, height * factor, width * factor)

    def _latents(self, request: DecoderRequest) -> FloatArray:
        """Encode the pixels that `check_image` returned; latents pass unchanged."""
        image = request.pixels
        assert image is not None
        return (
            image if image.shape[1] == request.plan.latent_shape[0] else self._encode_pixels(image)
        )

    def _encode_pixels(self, pixels: FloatArray) -> FloatArray:
        """Return what the autoencoder makes of pixels."""
        encoded = self.movq.encode(pixels)
        require_finite(encoded, "MoVQ", self.movq.dtype)
        return encoded

    def decode_latents(self, latents: FloatArray) -> FloatArray:
        """Decode latents [B, C, h, w] as the loop has them into pixels about -1 to 1."""
        return self.movq.decode(latents)

    def _request(
        self,
        plan: DecoderPlan,
        options: CallOptions,
        count: int,
        generator: Any,
        seed: Any,
        *,
        latents: Any = None,
        **checked: Any,
    ) -> DecoderRequest:
        """Make a request: give each picture its generator, and check all arrays against B.

        Args:
            plan: Sizes, steps and guidance.
            options: The callback and the form of the result.
            count: Number B of pictures.
            generator: The call's argument of this name.
            seed: The call's argument of this name.
            latents: Initial noise [B, C, h, w]; None draws it.
            **checked: Further fields of the request.

        Raises:
            InvalidInputError: The number of generators, pictures or latents is wrong.
            DeviceMemoryError: The pictures are too many for the device.
        """
        self.require_room(plan, count)
        shape = (count, *plan.latent_shape)
        request = DecoderRequest(
            plan=plan,
            options=options,
            count=count,
            source=as_generators(generator, seed, count),
            latents=None if latents is None else as_batch("latents", latents, shape),
            **checked,
        )
        for name, rows in request.pictures.items():
            require_even_shares(name, rows, count)
        return request

    def run(self, request: DecoderRequest) -> ImagePipelineOutput | tuple[Any, ...]:
        """Make the pictures of a call that `prepare` has checked.

        Args:
            request: What `prepare` of this pipeline returned.

        Raises:
            InvalidInputError: The request has been run before.
            NonFiniteError: A network gave NaN or infinity.
        """
        return request.options.returned(self.make(request))

    def make(self, request: DecoderRequest) -> ImagePipelineOutput:
        """Make the pictures as `run` does, and always return them as an output object."""
        self._require_complete(request)
        with self._calls.running(request.call):
            return self._make(request)

    def _require_complete(self, request: DecoderRequest) -> None:
        """Refuse a request that lacks something, before it counts as run."""

    def _make(self, request: DecoderRequest) -> ImagePipelineOutput:
        return self._pictures(request, self._inputs(request, self._conditioning(request)))

    @abstractmethod
    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        """Return what the UNet reads beside the latents, the unconditional rows first."""

    def _inputs(self, request: DecoderRequest, conditioning: dict[str, Array]) -> DecoderInputs:
        """Return what goes into the loop: noise, unless a task begins with something else."""
        scale = np.float32(request.plan.schedule.init_noise_sigma)
        return DecoderInputs(sample=self._noise(request) * scale, conditioning=conditioning)

    def _noise(self, request: DecoderRequest) -> FloatArray:
        """Return the initial noise [B, C, h, w]."""
        if request.latents is not None:
            return request.latents
        shape = (request.count, *request.plan.latent_shape)
        return draw_normal(request.source.generators, shape)

    def _pictures(self, request: DecoderRequest, inputs: DecoderInputs) -> ImagePipelineOutput:
        """Run the loop, decode the latents, and write down how each picture was made."""
        plan, source, shape = request.plan, request.source, inputs.sample.shape
        weight = plan.guidance_scale
        with self._steps(
            len(plan.schedule), inputs.conditioning, request.options, weight, inputs.kept
        ) as on_step:
            latents = denoise(
                self._looped,
                inputs.sample,
                plan.schedule,
                inputs.conditioning,
                guidance_scale=self._weight_in_loop(weight, weight),
                noise=lambda: draw_normal(source.generators, shape),
                on_step=on_step,
                kept=inputs.kept,
                guidance_rescale=request.guidance_rescale,
            )
        kept = on_step.values.kept
        touched = request.options.callback is not None and not on_step.interrupted
        if kept is not None and touched and not plan.schedule.rule.blends_x0:
            # What the callback did to the last latents: the kept part is put back once more.
            latents = kept.mask * kept.original + (1 - kept.mask) * latents
        require_finite(latents, "the UNet", self.unet.dtype)
        rows = zip(self._texts_of_pictures(request), picture_seeds(source, shape[0]), strict=True)
        interrupted = on_step.interrupted
        facts = {**request.given, **self._facts(plan)}
        if interrupted is not None:
            facts["interrupted"] = interrupted
        metadata = [{**texts, **seed, **facts} for texts, seed in rows]
        images = self._images(latents, plan, inputs.finish)
        return ImagePipelineOutput(images, metadata, interrupted)

    def _texts_of_pictures(self, request: DecoderRequest) -> list[dict[str, Any]]:
        """Return for each picture the entries of its metadata about its texts."""
        return [{} for _ in range(request.count)]

    def _images(
        self,
        latents: FloatArray,
        plan: DecoderPlan,
        finish: Callable[[FloatArray], FloatArray] | None,
    ) -> Any:
        if plan.output_type == "latent":
            return latents
        pixels = self.decode_latents(latents)
        require_finite(pixels, "MoVQ", self.movq.dtype)
        images = to_unit_range(pixels, plan.height, plan.width)
        if finish is not None:
            images = finish(images)
        if plan.output_type != "pt":
            return to_pil(images) if plan.output_type == "pil" else images
        rows = images.transpose(0, 3, 1, 2)
        if self.tensors_of_pixels:
            rows = pixels[..., : plan.height, : plan.width] if finish is None else rows * 2 - 1
        return as_torch(rows)

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
            **self.lora_facts,
            "backend": self.backend,
            "device": self.device,
            **self.precision_facts,
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
    taken = int(real_number("num_inference_steps", steps) * share)
    if taken < 1:
        raise InvalidInputError(
            f"strength={strength!r} of {steps} steps leaves none to take: give at least "
            f"num_inference_steps={math.ceil(1 / max(share, 1e-9))}, or more strength"
        )
    return steps - taken
