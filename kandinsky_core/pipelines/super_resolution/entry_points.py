"""`get_SR_pipeline` of ai-forever/KandiSuperRes' README, around our pipelines.

A script runs after its import is changed from `KandiSuperRes` to `kandinsky_core`. Beyond the
arguments there it takes `model`, `refiner`, `backend`, and what `from_pretrained` takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.super_resolution.flash import KandinskySuperResFlashPipeline
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.validation import positive_int

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["get_SR_pipeline"]

_MODEL = "ai-forever/KandiSuperRes"
_REFINER = "ai-forever/Kandinsky3.1"


class KandiSuperResPipeline:
    """The object that `get_SR_pipeline` returns.

    Attributes:
        pipe: Our pipeline, for everything that this call does not offer.
    """

    def __init__(self, pipe: KandinskySuperResPipeline) -> None:
        self.pipe = pipe

    def __call__(
        self,
        pil_image: Image.Image,
        steps: int = 5,
        view_batch_size: int = 15,
        seed: int = 0,
        refine: bool = True,
    ) -> Image.Image:
        """Enlarge a picture.

        As there, Flash takes its four steps whatever `steps` says, and only Flash refines. The
        values become bytes by truncation, as there.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        from PIL import Image

        pixels: Any
        request: dict[str, Any] = {"seed": seed, "output_type": "np"}
        if isinstance(self.pipe, KandinskySuperResFlashPipeline):
            request["refine"] = refine
        else:
            request |= {
                "num_inference_steps": positive_int("steps", steps),
                "view_batch_size": view_batch_size,
            }
        (pixels,) = self.pipe(pil_image, **request)[0]
        return Image.fromarray((pixels * 255).astype(np.uint8))


def get_SR_pipeline(
    device: Any = None,
    fp16: bool = True,
    flash: bool = True,
    scale: int = 2,
    cache_dir: str | Path | None = None,
    movq_path: None = None,
    refiner_path: str | Path | None = None,
    unet_sr_path: str | Path | None = None,
    *,
    model: str | Path | None = None,
    refiner: Any = None,
    **options: Any,
) -> KandiSuperResPipeline:
    """Load an upscaler as the README of ai-forever/KandiSuperRes does.

    Args:
        device: A device for all networks.
        fp16: Compute in float16; on a CPU, which is slow at it, in float32.
        flash: Take the distilled weights, and Kandinsky 3.1 Flash as their refiner.
        scale: 2 or 4; Flash has 2 only.
        cache_dir: Folder of the hub's cache.
        movq_path: None; MoVQ is read from the refiner's folder.
        refiner_path: The refiner's file `kandinsky3_flash.pt`, in a folder as it was published.
        unet_sr_path: The upscaler's file, under its published name.
        model: A folder or hub id, in place of ai-forever/KandiSuperRes.
        refiner: As for `KandinskySuperResFlashPipeline.from_pretrained`; None loads
            ai-forever/Kandinsky3.1. False loads none.
        **options: Further arguments of `from_pretrained`.

    Raises:
        InvalidInputError: Flash was asked for another scale than 2.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    if movq_path is not None:
        raise InvalidInputError(
            f"movq_path={str(movq_path)!r}: MoVQ is read from the refiner's folder: put it there"
        )
    if unet_sr_path is not None:
        model = Path(unet_sr_path).parent
    if refiner_path is not None:
        refiner = Path(refiner_path).parent
    half = fp16 and str(device) not in ("None", "cpu")
    shared = {"dtype": "float16" if half else "float32", "device": device, "cache_dir": cache_dir}
    shared |= options
    if not flash:
        return KandiSuperResPipeline(
            KandinskySuperResPipeline.from_pretrained(model or _MODEL, scale=scale, **shared)
        )
    if scale != 2:
        raise InvalidInputError(f"scale={scale!r}: Flash has weights for scale 2 only")
    refiner = None if refiner is False else refiner or _REFINER
    return KandiSuperResPipeline(
        KandinskySuperResFlashPipeline.from_pretrained(model or _MODEL, refiner=refiner, **shared)
    )
