"""The entry points that the README of ai-forever/Kandinsky-3 shows, around our pipelines.

Scripts run after their import is changed from `kandinsky3` to `kandinsky_core`. Beyond the
arguments there, each takes `model` (a folder or hub id in place of ai-forever/Kandinsky3.1),
`backend`, and what `from_pretrained` takes; the calls take `seed`.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky3.conventions import CONVENTIONS, require_null_embedding
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline
from kandinsky_core.pipelines.kandinsky3.inpainting import Kandinsky3InpaintPipeline
from kandinsky_core.pipelines.kandinsky3.text_to_image import Kandinsky3Pipeline
from kandinsky_core.schedulers import Kandinsky3Scheduler
from kandinsky_core.validation import one_of, positive_int, real_number

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

        As there, sides are rounded down to multiples of 8, and Flash ignores `negative_text`,
        `guidance_scale`, `steps` and `eta`.

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
        """Make pictures that are repainted where `mask` [H, W] is 1.

        Their sides are those of `image`, rounded down to multiples of 64, and have at most as many
        pixels as 1024 x 1024.

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


Made = TypeVar("Made", Kandinsky3T2IPipeline, Kandinsky3InpaintingPipeline)


def _load(
    pipeline: type[Kandinsky3Decoder],
    device_map: Any = None,
    dtype_map: Any = "float32",
    low_cpu_mem_usage: bool = True,
    load_in_8bit: bool = False,
    load_in_4bit: bool = False,
    cache_dir: str | Path | None = None,
    unet_path: str | Path | None = None,
    text_encoder_path: str | Path | None = None,
    movq_path: str | Path | None = None,
    *,
    model: str | Path | None = None,
    convention: str = "authors",
    **options: Any,
) -> Kandinsky3Decoder:
    """Load a pipeline that makes the pictures that ai-forever's code makes.

    Args:
        device_map: A device, or one for each of `unet`, `text_encoder`, `movq`.
        dtype_map: A dtype, or one for each of these. MoVQ computes in float32 in any case.
        low_cpu_mem_usage: Has no effect: weights are always streamed.
        load_in_8bit: Refused: streaming the text encoder needs less memory.
        load_in_4bit: Refused for the same reason.
        cache_dir: Folder of the hub's cache; None takes the usual one.
        unet_path: The UNet's file, under its published name.
        text_encoder_path: The folder `flan_ul2_encoder`, beside that file.
        movq_path: The file `movq.pt`, beside it too.
        model: A folder or hub id, in place of these paths.
        convention: See `kandinsky_core.pipelines.kandinsky3.conventions`. Weights in diffusers'
            layout have no null embedding, so they need `diffusers`.
        **options: Further arguments of `from_pretrained`.

    Raises:
        InvalidInputError: An argument is refused, or the weights have no null embedding.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    if load_in_8bit or load_in_4bit:
        raise InvalidInputError(
            "load_in_8bit, load_in_4bit: not supported; text_encoder_loading='streamed' needs 2 GB"
        )
    chosen = one_of("convention", convention, CONVENTIONS)
    opened = OpenedModel.of(
        _folder([unet_path, text_encoder_path, movq_path], model),
        pipeline.part,
        HubOptions.among({**options, "cache_dir": cache_dir}),
    )
    if "null_embedding" not in options:  # before all else is loaded
        require_null_embedding(chosen, opened.components(["unet"])["unet"].null_embedding())
    pipe = pipeline.from_pretrained(
        opened,
        device=device_map,
        dtype=dtype_map,
        low_cpu_mem_usage=low_cpu_mem_usage,
        cache_dir=cache_dir,
        **options,
    )
    pipe.convention = chosen
    return pipe


def _folder(paths: list[str | Path | None], model: str | Path | None) -> str | Path:
    """Return the model that paths of its parts, or `model`, name."""
    folders = {Path(path).parent for path in paths if path is not None}
    if len(folders) > 1 or (folders and model is not None):
        raise InvalidInputError(
            "unet_path, text_encoder_path and movq_path must lie in one folder, as published; "
            "give that folder as model="
        )
    return next(iter(folders), model or _MODEL)


def _entry_point(
    name: str, pipeline: type[Kandinsky3Decoder], made: type[Made]
) -> Callable[..., Made]:
    """Return the function of a name: `_load` for one class of pipelines."""

    def entry_point(*args: Any, **kwargs: Any) -> Made:
        return made(_load(pipeline, *args, **kwargs))

    _, *own = signature(_load).parameters.values()
    entry_point.__signature__ = Signature(own)  # type: ignore[attr-defined]
    entry_point.__name__ = entry_point.__qualname__ = name
    entry_point.__doc__ = _load.__doc__
    return entry_point


get_T2I_pipeline = _entry_point("get_T2I_pipeline", Kandinsky3Pipeline, Kandinsky3T2IPipeline)
get_T2I_Flash_pipeline = _entry_point(
    "get_T2I_Flash_pipeline", Kandinsky3FlashPipeline, Kandinsky3T2IPipeline
)
get_inpainting_pipeline = _entry_point(
    "get_inpainting_pipeline", Kandinsky3InpaintPipeline, Kandinsky3InpaintingPipeline
)
