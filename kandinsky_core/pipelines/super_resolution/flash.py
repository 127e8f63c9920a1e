"""KandiSuperRes Flash: pictures twice as large in four steps, refined by Kandinsky 3.1 Flash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_images
from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline
from kandinsky_core.pipelines.shared.call_options import Callback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.pipelines.super_resolution.refining import empty_text, refined
from kandinsky_core.pipelines.super_resolution.requests import EnlargeRequest, SmallPicture
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.networks import Denoiser

__all__ = ["KandinskySuperResFlashPipeline"]

_BLOCK = 32  # the sides of what the UNet is shown are multiples of this
_OPTIONS = ("backend", "device", "dtype", "torch_dtype", "offload", "quantize")


class KandinskySuperResFlashPipeline(KandinskySuperResPipeline):
    """Enlarges pictures in four steps; Kandinsky 3.1 Flash may refine them.

    Source: `KandiSuperResPipeline(flash=True)` of ai-forever/KandiSuperRes.

    Attributes:
        refiner: The pipeline whose networks refine the pictures; None where none was given.
    """

    part: ClassVar[str] = "upscaler_flash"

    def __init__(
        self,
        unet: Denoiser,
        scheduler: Scheduler,
        refiner: Kandinsky3FlashPipeline | None = None,
    ) -> None:
        super().__init__(unet, scheduler)
        self.refiner = refiner
        self._empty_text: dict[str, Array] | None = None

    @classmethod
    def from_pretrained(
        cls, model: str | Path | OpenedModel, *, refiner: Any = None, **options: Any
    ) -> Self:
        """Load the upscaler, and the refiner where one is given.

        Args:
            model: A folder or hub id of the upscaler.
            refiner: A loaded `Kandinsky3FlashPipeline`, or the folder or hub id of one.
            **options: As for every pipeline's `from_pretrained`. Backend, device and dtype are the
                refiner's too.

        Raises:
            KandinskyError: See `DiffusionPipeline.from_pretrained`.
        """
        pipeline = super().from_pretrained(model, **options)
        if isinstance(refiner, (str, Path)):
            shared = {name: options[name] for name in _OPTIONS if name in options}
            refiner = Kandinsky3FlashPipeline.from_pretrained(refiner, **shared)
        pipeline.refiner = refiner
        return pipeline

    def prepare(
        self,
        image: Any,
        scale: int | None = None,
        num_inference_steps: int = 4,
        generator: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
        refine: bool | None = None,
        window_size: int | None = None,
        window_stride: int | None = None,
        view_batch_size: int = 1,
        paste_exact: bool = False,
    ) -> EnlargeRequest:
        """Check a request to enlarge pictures; see `KandinskySuperResPipeline.prepare`.

        Args:
            image: As there; each side has at least 32 pixels.
            scale: 2, for which the weights were trained; None is the same.
            num_inference_steps: 4, for which the weights were distilled.
            refine: Whether Kandinsky 3.1 Flash refines the pictures; None does so where the
                pipeline has a refiner.
            window_size: Side of the windows that the UNet sees; None shows it the whole picture, as
                the original does.
            seed: As there: without a seed and a generator it is 0.
            window_stride: As there.
            view_batch_size: As there.
            paste_exact: As there.
            output_type: As there.
        """
        refine = self.refiner is not None if refine is None else bool(refine)
        if refine and self.refiner is None:
            raise InvalidInputError(
                "refine=True: this pipeline has no refiner: load it with "
                "from_pretrained(..., refiner='ai-forever/Kandinsky3.1'), or leave refine out"
            )
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
            window_size=_WHOLE if window_size is None else window_size,
            window_stride=window_stride,
            view_batch_size=view_batch_size,
            paste_exact=paste_exact,
            refine=refine,
        )

    __call__ = prepared_call(prepare)

    def _small(self, item: Any, pixels: FloatArray, scale: int, window: int) -> SmallPicture:
        """Resize a picture to multiples of 32, as the original does."""
        height, width = pixels.shape[1:]
        if min(height, width) < _BLOCK:
            raise InvalidInputError(
                f"image has {width} x {height} pixels: Flash takes sides of at least {_BLOCK}; "
                "enlarge it with KandinskySuperResPipeline"
            )
        sides = [side // _BLOCK * _BLOCK for side in (height, width)]
        shown = as_images("image", [item], *sides)
        return self._picture(item, shown, pixels.shape[1:], scale, window)

    def _start(self, request: EnlargeRequest, noise: Callable[[], FloatArray]) -> FloatArray:
        """Noise the initial noise once more: each step starts from a clean prediction."""
        first = noise()
        return request.schedule.noised(first, noise())

    def _refined(
        self, sample: FloatArray, draw: Callable[[tuple[int, ...]], FloatArray]
    ) -> FloatArray:
        if self._empty_text is None:
            self._empty_text = empty_text(self.refiner)
        return refined(self.refiner, sample, self._empty_text, draw)


_WHOLE = 2**20  # a window of any picture
