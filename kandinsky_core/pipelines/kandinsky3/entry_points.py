"""The entry points that the README of ai-forever/Kandinsky-3 shows, around our pipelines.

Scripts run after their import is changed from `kandinsky3` to `kandinsky_core`. Beyond the
arguments there, each takes `model` (a folder or hub id in place of ai-forever/Kandinsky3.1),
`backend`, and what `from_pretrained` takes; the calls take `seed`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core.denoising.generator import Generator
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline
from kandinsky_core.pipelines.kandinsky3.inpainting import Kandinsky3InpaintPipeline
from kandinsky_core.pipelines.kandinsky3.text_to_image import Kandinsky3Pipeline
from kandinsky_core.schedulers import Kandinsky3Scheduler
from kandinsky_core.validation import positive_int, real_number

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["get_T2I_Flash_pipeline", "get_T2I_pipeline", "get_inpainting_pipeline"]

_MODEL = "ai-forever/Kandinsky3.1"


class _EntryPipeline:
    """Base of the objects that the entry points return.

    Attributes:
        pipe: Our pipeline, for everything that these calls do not offer.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    def _images(
        self, images_num: int, bs: int, seed: int | None, make: Callable[..., Any]
    ) -> list[Image.Image]:
        """Make `images_num` pictures, `bs` at a time, from one generator that runs on."""
        count, size = positive_int("images_num", images_num), positive_int("bs", bs)
        generator = Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        images: list[Image.Image] = []
        while len(images) < count:
            number = min(size, count - len(images))
            images += make(num_images_per_prompt=number, generator=generator).images
        return images

    def _sampled(self, eta: float) -> None:
        scheduler = self.pipe.scheduler
        if isinstance(scheduler, Kandinsky3Scheduler):
            self.pipe.scheduler = Kandinsky3Scheduler.from_config(scheduler.config, eta=eta)
        elif eta != 1:
            raise InvalidInputError(f"eta={eta!r}: {type(scheduler).__name__} has none, leave it 1")


class Kandinsky3T2IPipeline(_EntryPipeline):
    """Text to image, as `get_T2I_pipeline` and `get_T2I_Flash_pipeline` return it."""

    def __call__(
        self,
        text: str,
        negative_text: str | None = None,
        images_num: int = 1,
        bs: int = 1,
        width: int = 1024,
        height: int = 1024,
        guidance_scale: float = 3.0,
        steps: int = 50,
        eta: float = 1.0,
        *,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Make pictures, `bs` at a time.

        As there, Flash ignores `negative_text`, `guidance_scale`, `steps` and `eta`.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        request: dict[str, Any] = {"height": height, "width": width}
        if not isinstance(self.pipe, Kandinsky3FlashPipeline):
            self._sampled(eta)
            request |= {
                "negative_prompt": negative_text,
                "num_inference_steps": steps,
                "guidance_scale": _guidance("guidance_scale", guidance_scale),
            }
        return self._images(
            images_num, bs, seed, lambda **batch: self.pipe(text, **request, **batch)
        )


class Kandinsky3InpaintingPipeline(_EntryPipeline):
    """Inpainting, as `get_inpainting_pipeline` returns it."""

    def __call__(
        self,
        text: str,
        image: Image.Image,
        mask: Any,
        negative_text: str | None = None,
        images_num: int = 1,
        bs: int = 1,
        steps: int = 50,
        guidance_weight_text: float = 4,
        eta: float = 1.0,
        *,
        paste_back: bool = False,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Make pictures of the size of `image`, repainted where `mask` [H, W] is 1.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        self._sampled(eta)
        request = {
            "image": image,
            "mask_image": mask,
            "negative_prompt": negative_text,
            "num_inference_steps": steps,
            "guidance_scale": _guidance("guidance_weight_text", guidance_weight_text),
            "paste_back": paste_back,
        }
        return self._images(
            images_num, bs, seed, lambda **batch: self.pipe(text, **request, **batch)
        )


def _guidance(name: str, value: Any) -> float:
    """Refuse a scale above 0 and up to 1: it guides in the code there, but not in ours."""
    scale = real_number(name, value)
    if 0 < scale <= 1:
        raise InvalidInputError(f"{name}={value!r}: give 0 (no guidance), or more than 1")
    return scale


def get_T2I_pipeline(
    device_map: Any = None, dtype_map: Any = "float32", **options: Any
) -> Kandinsky3T2IPipeline:
    """Load text to image; see the module and `_load`."""
    return Kandinsky3T2IPipeline(_load(Kandinsky3Pipeline, device_map, dtype_map, **options))


def get_T2I_Flash_pipeline(
    device_map: Any = None, dtype_map: Any = "float32", **options: Any
) -> Kandinsky3T2IPipeline:
    """Load text to image in four steps; see the module and `_load`."""
    return Kandinsky3T2IPipeline(_load(Kandinsky3FlashPipeline, device_map, dtype_map, **options))


def get_inpainting_pipeline(
    device_map: Any = None, dtype_map: Any = "float32", **options: Any
) -> Kandinsky3InpaintingPipeline:
    """Load inpainting; see the module and `_load`."""
    pipe = _load(Kandinsky3InpaintPipeline, device_map, dtype_map, **options)
    return Kandinsky3InpaintingPipeline(pipe)


def _load(
    pipeline: type[Kandinsky3Decoder],
    device_map: Any,
    dtype_map: Any,
    *,
    load_in_8bit: bool = False,
    load_in_4bit: bool = False,
    unet_path: str | Path | None = None,
    text_encoder_path: str | Path | None = None,
    movq_path: str | Path | None = None,
    model: str | Path | None = None,
    **options: Any,
) -> Kandinsky3Decoder:
    """Load a pipeline with the arguments that the entry points take.

    Args:
        pipeline: The class of the pipeline.
        device_map: A device, or one for each of `unet`, `text_encoder`, `movq`.
        dtype_map: A dtype, or one for each of these. MoVQ computes in float32 in any case.
        load_in_8bit: Refused: streaming the text encoder needs less memory.
        load_in_4bit: Refused for the same reason.
        unet_path: The UNet's file, under its published name.
        text_encoder_path: The folder `flan_ul2_encoder`, beside that file.
        movq_path: The file `movq.pt`, beside it too.
        model: A folder or hub id, in place of these paths.
        **options: Further arguments of `from_pretrained`.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    if load_in_8bit or load_in_4bit:
        raise InvalidInputError(
            "load_in_8bit, load_in_4bit: not supported; text_encoder_loading='streamed' needs 2 GB"
        )
    paths = {Path(path) for path in (unet_path, text_encoder_path, movq_path) if path is not None}
    folders = {path.parent for path in paths}
    if len(folders) > 1 or (folders and model is not None):
        raise InvalidInputError(
            "unet_path, text_encoder_path and movq_path must lie in one folder, as published; "
            "give that folder as model="
        )
    return pipeline.from_pretrained(
        next(iter(folders), model or _MODEL), device=device_map, dtype=dtype_map, **options
    )
