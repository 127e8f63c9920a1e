"""Makes hints for a ControlNet from pictures: edges and scribbles, by the package controlnet-aux.

Who has a hint already needs nothing of this module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.pictures.hints import one_hint
from kandinsky_core.pictures.opening import load_image

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["hed_hint", "scribble_hint"]

# The weights of holistically-nested edge detection that diffusers' ControlNets were trained with.
_MODEL = "lllyasviel/Annotators"


def hed_hint(
    image: str | Path | Image.Image,
    detector: str | Path | Callable[[Image.Image], Any] | None = None,
) -> FloatArray:
    """Turn a picture into a hint of its soft edges, which are white on black.

    Reference: Xie and Tu 2015, "Holistically-Nested Edge Detection".

    Args:
        image: Path, URL, or a PIL picture.
        detector: The weights, by hub id or folder, for `HEDdetector` of controlnet-aux; None takes
            lllyasviel/Annotators. Any callable serves too that takes a PIL picture and returns a
            picture of edges; it needs no package.

    Returns:
        float32 [1, 3, H, W] in [0, 1], of the picture's size.

    Raises:
        BackendUnavailableError: controlnet-aux or PyTorch is not installed.
        InvalidInputError: `image` is no picture, the weights cannot be loaded, or the detector
            returns no picture.
    """
    return _edges(image, detector, {})


def scribble_hint(
    image: str | Path | Image.Image,
    detector: str | Path | Callable[[Image.Image], Any] | None = None,
) -> FloatArray:
    """Turn a picture into a hint that looks drawn by hand: thick white lines on black.

    It is made of the picture's edges. Who has a drawing passes that to the pipeline as it is; lines
    are white, so a drawing in black on white is to be inverted first.

    Args:
        image: As for `hed_hint`.
        detector: As for `hed_hint`; a callable returns the scribble.

    Returns:
        float32 [1, 3, H, W] in [0, 1], of the picture's size.

    Raises:
        BackendUnavailableError: See `hed_hint`.
        InvalidInputError: See `hed_hint`.
    """
    return _edges(image, detector, {"scribble": True})


def _edges(image: Any, detector: Any, options: dict[str, Any]) -> FloatArray:
    picture = load_image(image)
    found = detector(picture) if callable(detector) else _loaded(detector)(picture, **options)
    return one_hint("the detector's picture of edges", found, picture)


def _loaded(model: str | Path | None) -> Any:
    missing = [name for name in ("controlnet_aux", "torch") if find_spec(name) is None]
    if missing:
        packages = " ".join(missing).replace("_", "-")
        raise BackendUnavailableError(
            f"finding edges needs {packages.replace(' ', ' and ')}, not installed: pip install "
            f"{packages}; or give detector= a callable, or a hint that you have to the pipeline as "
            "control_image="
        )
    from controlnet_aux import HEDdetector  # type: ignore[import-not-found]

    try:
        return HEDdetector.from_pretrained(_MODEL if model is None else str(model))
    except (OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        raise InvalidInputError(
            f"detector={model!r} cannot be loaded: {lines[0] if lines else repr(error)}"
        ) from error
