"""KandiSuperRes: pictures twice or four times as large, in a few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.loop import denoise, require_finite
from kandinsky_core.denoising.noise import as_generators, picture_seeds
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.memory.call_size import FLOAT, Need, require_room_for_call
from kandinsky_core.pictures.inputs import as_images_of_own_size
from kandinsky_core.pictures.metadata import metadata_of, versions
from kandinsky_core.pictures.outputs import to_pil
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.pipelines.shared.call_options import Callback, CallOptions
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.super_resolution.ahead_of_time import CompilesWindows
from kandinsky_core.pipelines.super_resolution.exactness import with_exact_means
from kandinsky_core.pipelines.super_resolution.requests import EnlargeRequest, SmallPicture
from kandinsky_core.pipelines.super_resolution.room import pixels_need, require_room_by_size
from kandinsky_core.pipelines.super_resolution.transparency import alpha_of, with_alpha
from kandinsky_core.pipelines.super_resolution.windows import WindowedDenoiser, Windows
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.networks import Denoiser
from kandinsky_core.validation import one_of, positive_int

__all__ = ["KandinskySuperResPipeline"]

_OUTPUT_TYPES = ("pil", "np")


class KandinskySuperResPipeline(CompilesWindows, DiffusionPipeline):
    """Enlarges pictures by a UNet in pixel space, which is shown windows of a large picture.

    Source: ai-forever/KandiSuperRes; diffusers has no such pipeline. The published models are for
    one scale each.
    """

    component_names: ClassVar[tuple[str, ...]] = ("unet", "scheduler")
    part: ClassVar[str] = "upscaler"

    def __init__(self, unet: Denoiser, scheduler: Scheduler) -> None:
        super().__init__(unet=unet, scheduler=scheduler)
        self.unet: Denoiser
        self.scheduler: Scheduler
        self.check_configs({"unet": getattr(unet, "config", None)})

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """See `DiffusionPipeline.check_configs`."""
        config = configs.get("unet")
        if config is not None and not hasattr(config, "scale"):
            raise ConfigError(
                f"{cls.__name__} takes a KandinskySuperResUNet, not a {config.CLASS_NAME}: give "
                "the folder of an upscaler"
            )

    @classmethod
    def from_pretrained(
        cls, model: str | Path | OpenedModel, *, scale: int | None = None, **options: Any
    ) -> Self:
        """Load an upscaler.

        Args:
            model: A folder or hub id; or `shapes`, whose upscaler enlarges its pictures.
            scale: 4 (the default) or 2, where the model has a file for each, as
                `ai-forever/KandiSuperRes` has.
            **options: As for every pipeline's `from_pretrained`.

        Raises:
            InvalidInputError: The model is for another scale.
            KandinskyError: See `DiffusionPipeline.from_pretrained`.
        """
        if scale not in (None, 2, 4):
            raise InvalidInputError(f"scale={scale!r}: give 2 or 4, or leave it out")
        part = f"{cls.part}_x2" if scale == 2 else cls.part
        opened = OpenedModel.of(model, part, HubOptions.among(options))
        pipeline = super().from_pretrained(opened, **options)
        trained = pipeline.unet.config.scale
        if scale not in (None, trained):
            raise InvalidInputError(
                f"scale={scale!r}: {opened.name} enlarges {trained} times: leave scale out"
            )
        return pipeline

    def prepare(
        self,
        image: Any,
        scale: int | None = None,
        num_inference_steps: int = 5,
        generator: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
        view_batch_size: int = 1,
        window_size: int | None = None,
        window_stride: int | None = None,
        paste_exact: bool = False,
    ) -> EnlargeRequest:
        """Check a request to enlarge pictures.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            image: A picture of any size, or a list of them, each of its own size. Transparency is
                enlarged by bicubic interpolation.
            scale: Factor of both sides; None takes the one that the model was trained for.
            num_inference_steps: Number of denoising steps.
            seed: As for all calls, except that without a seed and a generator it is 0.
            view_batch_size: How many windows the UNet sees in one batch. More are faster on an
                accelerator, and take more memory.
            window_size: Side in pixels of the windows that the UNet sees; None takes the side that
                it was trained at, 1024 for the published models. Larger pictures need no more of
                the device's memory, and no program of their own.
            window_stride: Distance of two neighbouring windows; None is what the model's config
                says, or 25/32 of the size, 800 for the published models.
            paste_exact: Correct each picture so that its blocks have the small picture's pixels as
                their means.
            output_type: `pil`, or `np` (a list of float32 [height, width, 3] in [0, 1]).
        """
        return self._checked(
            image,
            scale,
            num_inference_steps,
            generator,
            seed,
            output_type,
            self.call_options(
                callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
            ),
            window_size=window_size,
            window_stride=window_stride,
            view_batch_size=view_batch_size,
            paste_exact=paste_exact,
        )

    __call__ = prepared_call(prepare)

    def _checked(
        self,
        image: Any,
        scale: int | None,
        num_inference_steps: int,
        generator: Any,
        seed: Any,
        output_type: str,
        options: CallOptions,
        *,
        window_size: int | None,
        window_stride: int | None,
        view_batch_size: int,
        paste_exact: bool,
        refine: bool = False,
    ) -> EnlargeRequest:
        trained = int(self.unet.config.scale)
        if scale not in (None, trained):
            raise InvalidInputError(
                f"scale={scale!r}: this model enlarges {trained} times: leave scale out, or load "
                "the model of that scale; for more, enlarge the result again"
            )
        steps = positive_int("num_inference_steps", num_inference_steps)
        window = self._window(window_size, window_stride)
        require_room_by_size(image, trained)
        pictures = self._pictures(image, trained, window[0])
        at_once = positive_int("view_batch_size", view_batch_size)
        self._require_room(pictures, window, at_once)
        if generator is None and seed is None:
            seed = 0  # as the original
        return EnlargeRequest(
            pictures=pictures,
            scale=trained,
            schedule=self.scheduler.schedule(steps),
            source=as_generators(generator, seed, len(pictures)),
            options=options,
            window=window,
            at_once=at_once,
            output_type=one_of("output_type", output_type, _OUTPUT_TYPES),
            paste_exact=bool(paste_exact),
            refine=refine,
        )

    def _window(self, size: Any, stride: Any) -> tuple[int, int]:
        multiple = self.unet.config.size_multiple
        trained = self.unet.config.sample_size, self.unet.config.window_stride
        size = trained[0] if size is None else size
        if positive_int("window_size", size) % multiple:
            raise InvalidInputError(
                f"window_size={size}: give a multiple of {multiple} pixels, 1024 for example"
            )
        if stride is None:
            usual = trained[1] if size == trained[0] else 0
            stride = usual or max(1, size * 25 // 32)
        stride = positive_int("window_stride", stride)
        if stride > size:
            raise InvalidInputError(
                f"window_stride={stride}: give at most window_size={size}, or pixels are left out"
            )
        return size, stride

    def _pictures(self, image: Any, scale: int, window: int) -> tuple[SmallPicture, ...]:
        items = list(image) if isinstance(image, (list, tuple)) else [image]
        pixels = as_images_of_own_size("image", image)
        if len(items) != len(pixels):  # an array with a batch axis
            items = list(pixels)
        pairs = zip(items, pixels, strict=True)
        return tuple(self._small(item, small, scale, window) for item, small in pairs)

    def _small(self, item: Any, pixels: FloatArray, scale: int, window: int) -> SmallPicture:
        """Return a picture as the UNet is shown it.

        An odd side is stretched to the next even one, as in the original, and squeezed back in the
        end.
        """
        return self._picture(item, pixels[None], pixels.shape[1:], scale, window)

    def _picture(
        self, item: Any, shown: FloatArray, size: tuple[int, ...], scale: int, window: int
    ) -> SmallPicture:
        """Describe a picture; a side of at most one window is filled up to what the UNet takes."""
        sides = [(side + side % 2) * scale for side in shown.shape[2:]]
        filled = [self._filled(side, window) for side in sides]
        return SmallPicture(
            pixels=shown,
            height=sides[0],
            width=sides[1],
            filled=(filled[0], filled[1]),
            result=(size[0] * scale, size[1] * scale),
            alpha=alpha_of(item),
            metadata=metadata_of(item),
        )

    def _filled(self, side: int, window: int) -> int:
        multiple = int(self.unet.config.size_multiple)
        return side if side > window else -(-side // multiple) * multiple

    def run(self, request: EnlargeRequest) -> ImagePipelineOutput | tuple[Any, ...]:
        """Enlarge the pictures of a call that `prepare` has checked.

        Args:
            request: What `prepare` of this pipeline returned.

        Raises:
            InvalidInputError: The request has been run before.
            NonFiniteError: The UNet gave NaN or infinity.
        """
        with self._calls.running(request.call):
            made = []
            for index, picture in enumerate(request.pictures):
                made.append(self._enlarge(request, index, picture))
                if request.call.stopping:
                    break
        interrupted = made[-1][1]
        images = [image for image, _ in made]
        metadata = self._metadata(request, [steps for _, steps in made])
        return request.options.returned(ImagePipelineOutput(images, metadata, interrupted))

    def _enlarge(
        self, request: EnlargeRequest, index: int, picture: SmallPicture
    ) -> tuple[Any, Mapping[str, int] | None]:
        """Return a large picture, and how many steps it took where the call was stopped."""
        generators = request.source.generators
        own = generators[index] if isinstance(generators, tuple) else generators

        def noise() -> FloatArray:
            return own.randn((1, 3, *picture.filled))

        conditioning = {"image_latents": picture.enlarged()}
        windows = Windows(*picture.filled, *request.window)
        # The loop asks of a denoiser only that it begins a run.
        denoiser: Any = WindowedDenoiser(self.unet, windows, request.at_once)
        with self._steps(len(request.schedule), conditioning, request.options, 1.0) as on_step:
            sample = denoise(
                denoiser,
                self._start(request, noise),
                request.schedule,
                conditioning,
                guidance_scale=1.0,
                noise=noise,
                on_step=on_step,
            )
        require_finite(sample, "the UNet", self.unet.dtype)
        if request.refine:
            sample = self._refined(sample, own.randn)
        image = picture.finished(sample)
        if request.paste_exact:
            image = with_exact_means(image, picture.pixels[0], request.scale)
        if request.output_type == "np":
            return image, on_step.interrupted
        return with_alpha(to_pil(image[None])[0], picture.alpha), on_step.interrupted

    def _metadata(
        self, request: EnlargeRequest, interrupted: Sequence[Mapping[str, int] | None]
    ) -> list[dict[str, Any]]:
        """Return what the files of the small pictures say, and how each was enlarged."""
        seeds = picture_seeds(request.source, len(request.pictures))
        facts = self._facts(request)
        return [
            {
                **picture.metadata,
                "upscaled": [
                    *picture.upscaled,
                    {**seed, **facts, **({} if steps is None else {"interrupted": steps})},
                ],
            }
            for picture, seed, steps in zip(request.pictures, seeds, interrupted, strict=False)
        ]

    def _start(self, request: EnlargeRequest, noise: Callable[[], FloatArray]) -> FloatArray:
        """Return where the loop starts, [1, 3, H, W]."""
        return noise() * np.float32(request.schedule.init_noise_sigma)

    def _refined(
        self, sample: FloatArray, draw: Callable[[tuple[int, ...]], FloatArray]
    ) -> FloatArray:
        raise NotImplementedError  # only Flash is refined

    def _require_room(
        self, pictures: Sequence[SmallPicture], window: tuple[int, int], at_once: int
    ) -> None:
        """Refuse pictures that surely need more memory than there is.

        Raises:
            DeviceMemoryError: One of them does.
        """
        for picture in pictures:
            height, width = picture.filled
            seen = min(height, window[0]) * min(width, window[0])
            features = at_once * self.unet.config.init_channels * seen * FLOAT
            way = "or show it smaller windows (window_size=...)"
            require_room_for_call(
                f"a picture of {width} x {height} pixels",
                [
                    Need("the UNet's features", features, self.unet.memory(), way),
                    pixels_need(height, width),
                ],
            )

    def _facts(self, request: EnlargeRequest) -> dict[str, Any]:
        """Return what the metadata of an enlarged picture say of all pictures of a call."""
        return {
            "scale": request.scale,
            "num_inference_steps": len(request.schedule),
            "window_size": request.window[0],
            "window_stride": request.window[1],
            **({"paste_exact": True} if request.paste_exact else {}),
            **({"refine": True} if request.refine else {}),
            "scheduler": type(self.scheduler).__name__,
            **self.origin,
            "backend": self.backend,
            "device": self.device,
            **self.precision_facts,
            "versions": versions(),
        }
