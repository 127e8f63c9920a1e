"""Makes hints for a ControlNet from pictures: depth maps, by transformers' `depth-estimation`.

Who has a hint already needs nothing of this module: pipelines take a depth map or a silhouette as a
PIL picture or an array of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.pictures.inputs import as_hints
from kandinsky_core.pictures.opening import load_image

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["depth_hint", "one_hint"]


def depth_hint(
    image: str | Path | Image.Image,
    estimator: str | Path | Callable[[Image.Image], Any] | None = None,
) -> FloatArray:
    """Turn a picture into a depth hint: near is white, far is black.

    Source: `make_hint` of the Kandinsky 2.2 model card; its `.unsqueeze(0)` is done here too.

    Args:
        image: Path, URL, or a PIL picture.
        estimator: A model for transformers' `depth-estimation` pipeline, by hub id or folder. None
            takes the model that transformers chooses, as the model card does. A pipeline of that
            kind serves too, made once for many pictures. So does any callable that takes a PIL
            picture and returns a depth map, or a mapping with one as `depth`. A model needs PyTorch
            and transformers, a callable needs neither.

    Returns:
        float32 [1, 3, H, W] in [0, 1], of the picture's size.

    Raises:
        BackendUnavailableError: PyTorch or transformers is not installed.
        InvalidInputError: `image` is no picture, the model cannot be loaded, or the estimator
            returns no depth map.
    """
    picture = load_image(image)
    found = (estimator if callable(estimator) else _pipeline(estimator))(picture)
    if isinstance(found, Mapping):
        found = found.get("depth")
    return one_hint("the estimator's depth map", found, picture)


def one_hint(name: str, found: Any, picture: Image.Image) -> FloatArray:
    """Return what a model made of a picture as a hint, float32 [1, 3, H, W] in [0, 1].

    Args:
        name: What it is, for errors.
        found: A picture or an array of any size.
        picture: The picture, whose size the hint gets.

    Raises:
        InvalidInputError: It is no picture, or it is several.
    """
    hints = as_hints(name, found, picture.height, picture.width)
    if len(hints) != 1:
        raise InvalidInputError(f"{name}: there are {len(hints)} for one picture, one is needed")
    return hints


def _pipeline(model: str | Path | None) -> Any:
    missing = [package for package in ("torch", "transformers") if find_spec(package) is None]
    if missing:
        raise BackendUnavailableError(
            f"estimating depth needs {' and '.join(missing)}, not installed: pip install "
            f"{' '.join(missing)}; or give estimator= a callable, or a depth map that you have "
            "to the pipeline as hint="
        )
    from transformers import pipeline

    try:
        return pipeline("depth-estimation", model=None if model is None else str(model))
    except (OSError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise InvalidInputError(
            f"estimator={model!r} cannot be loaded: {lines[0] if lines else repr(error)}"
        ) from error
