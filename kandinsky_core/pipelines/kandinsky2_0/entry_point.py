"""The object that `get_kandinsky2` of ai-forever's README returns for 2.0, around our pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_masks
from kandinsky_core.pipelines.kandinsky2_0.decoder import Kandinsky20Decoder
from kandinsky_core.pipelines.kandinsky2_0.image_to_image import Kandinsky20Img2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_0.inpainting import Kandinsky20InpaintPipeline
from kandinsky_core.pipelines.kandinsky2_0.text_to_image import Kandinsky20Pipeline
from kandinsky_core.schedulers import Kandinsky20Scheduler
from kandinsky_core.validation import one_of, real_number

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["RELEASES", "Kandinsky2", "pipeline_for"]

RELEASES = ("current", "first-release")
_SAMPLERS = ("ddim_sampler", "p_sampler")
_TASKS: dict[str, type[Kandinsky20Decoder]] = {
    "text2img": Kandinsky20Pipeline,
    "img2img": Kandinsky20Img2ImgPipeline,
    "inpainting": Kandinsky20InpaintPipeline,
}


def pipeline_for(task_type: str) -> type[Kandinsky20Decoder]:
    """Return the pipeline of a task as the README names it.

    Raises:
        InvalidInputError: There is no such task.
    """
    return _TASKS[one_of("task_type", task_type, tuple(_TASKS))]


class Kandinsky2:
    """Kandinsky 2.0 with the calls of the original's object of this name.

    Args:
        pipe: One of the pipelines of 2.0.
        release: Whose DDIM `ddim_sampler` is: that of the code today, which never reads
            `ddim_eta`, `denoised_type` and `dynamic_threshold_v`, or that of the first release,
            for which the README was written.

    Attributes:
        pipe: Our pipeline, for everything that these calls do not offer.
    """

    def __init__(self, pipe: Kandinsky20Decoder, release: str = "current") -> None:
        self.pipe = pipe
        self._release = one_of("release", release, RELEASES)

    def generate_text2img(
        self,
        prompt: str,
        num_steps: int = 100,
        batch_size: int = 1,
        guidance_scale: float = 7,
        progress: bool = True,
        dynamic_threshold_v: float = 99.5,
        denoised_type: str = "dynamic_threshold",
        h: int = 512,
        w: int = 512,
        sampler: str = "ddim_sampler",
        ddim_eta: float = 0.05,
        **options: Any,
    ) -> list[Image.Image]:
        """Make pictures of a prompt.

        Args:
            prompt: The text.
            num_steps: Steps; DDIM may take a few more.
            batch_size: Number of pictures.
            guidance_scale: Weight of guidance.
            progress: Whether to show a progress bar.
            dynamic_threshold_v: Percentile of thresholding, in the first release's DDIM.
            denoised_type: `dynamic_threshold`.
            h: Height in pixels.
            w: Width in pixels.
            sampler: `ddim_sampler` or `p_sampler`.
            ddim_eta: Share of fresh noise, in the first release's DDIM.
            **options: Further arguments of our pipeline's call, `seed` and `negative_prompt` among
                them.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        pipe = self._sampled(
            Kandinsky20Pipeline, sampler, ddim_eta, denoised_type, dynamic_threshold_v, progress
        )
        return _made(
            pipe,
            prompt,
            num_inference_steps=num_steps,
            num_images_per_prompt=batch_size,
            guidance_scale=guidance_scale,
            height=h,
            width=w,
            **options,
        )

    def generate_img2img(
        self,
        prompt: str,
        pil_img: Image.Image,
        strength: float = 0.7,
        num_steps: int = 100,
        guidance_scale: float = 7,
        progress: bool = True,
        dynamic_threshold_v: float = 99.5,
        denoised_type: str = "dynamic_threshold",
        sampler: str = "ddim_sampler",
        ddim_eta: float = 0.05,
        **options: Any,
    ) -> list[Image.Image]:
        """Make a picture that begins with a picture; see `generate_text2img`.

        As there, `strength` is the share of the picture that is kept, below 1, and the picture is
        squeezed to 512 x 512. `height=` and `width=` give another size.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        kept = real_number("strength", strength)
        if not 0 <= kept < 1:
            raise InvalidInputError(
                f"strength={strength!r}: give a number from 0, where all is noised, up to 1, where "
                "nothing is left to do"
            )
        pipe = self._sampled(
            Kandinsky20Img2ImgPipeline,
            *(sampler, ddim_eta, denoised_type, dynamic_threshold_v, progress),
        )
        request = {"num_inference_steps": num_steps, "guidance_scale": guidance_scale, **options}
        return _made(pipe, prompt, image=pil_img, strength=1 - kept, **request)

    def generate_inpainting(
        self,
        prompt: str,
        pil_img: Image.Image,
        img_mask: Array,
        num_steps: int = 100,
        guidance_scale: float = 7,
        progress: bool = True,
        dynamic_threshold_v: float = 99.5,
        denoised_type: str = "dynamic_threshold",
        sampler: str = "ddim_sampler",
        ddim_eta: float = 0.05,
        **options: Any,
    ) -> list[Image.Image]:
        """Repaint a part of a picture; see `generate_text2img`.

        As there, the mask [H, W] of any size is 1 where the picture is kept and 0 where it is
        repainted, and the picture is squeezed to 512 x 512.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range, or the weights are those
                for pictures from text.
        """
        pipe = self._sampled(
            Kandinsky20InpaintPipeline,
            *(sampler, ddim_eta, denoised_type, dynamic_threshold_v, progress),
        )
        height, width = (options.get(side) or pipe.default_size for side in ("height", "width"))
        request = {"num_inference_steps": num_steps, "guidance_scale": guidance_scale, **options}
        mask = _repainted(img_mask, height, width)
        return _made(pipe, prompt, image=pil_img, mask_image=mask, **request)

    def _sampled(
        self,
        task: type[Kandinsky20Decoder],
        sampler: str,
        eta: float,
        denoised_type: str,
        percentile: float,
        progress: bool,
    ) -> Any:
        """Return the pipeline of a task with one of the samplers."""
        inpaints = isinstance(self.pipe, Kandinsky20InpaintPipeline)
        if inpaints != (task is Kandinsky20InpaintPipeline):
            wanted = "text2img" if inpaints else "inpainting"
            raise InvalidInputError(
                f"these weights are for another task: load them with task_type={wanted!r}"
            )
        if one_of("sampler", sampler, _SAMPLERS) == "p_sampler":
            settings: dict[str, Any] = {"sampler": "ddpm"}
        elif self._release == "current":
            settings = {"sampler": "current", "eta": 0.0}
        else:
            one_of("denoised_type", denoised_type, ("dynamic_threshold",))
            ratio = real_number("dynamic_threshold_v", percentile) / 100
            settings = {"sampler": "first-release", "eta": real_number("ddim_eta", eta)}
            settings["dynamic_thresholding_ratio"] = ratio
        pipe: Any = task.from_pipe(self.pipe, scheduler=Kandinsky20Scheduler(**settings))
        pipe.set_progress_bar_config(disable=not progress)
        return pipe


def _made(pipe: Any, prompt: str, **request: Any) -> list[Image.Image]:
    images: list[Image.Image] = pipe(prompt, **request).images
    return images


def _repainted(mask: Any, height: int, width: int) -> Array:
    """Return the original's mask of any size as ours, [H, W] and 1 where repainted."""
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise InvalidInputError("img_mask: give an array [H, W] of 1 (kept) and 0 (repainted)")
    kept = as_masks("img_mask", array, *array.shape)[0, 0]
    rows, columns = (
        np.arange(size) * own // size  # as PyTorch's `nearest` takes them
        for own, size in zip(kept.shape, (height, width), strict=True)
    )
    found: Array = 1 - kept[np.ix_(rows, columns)]
    return found
