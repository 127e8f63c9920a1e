"""The options for pictures that the result is to resemble: `--ip-image` and `--ip-scale`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from kandinsky_cli.input_pictures import InputPicture
    from kandinsky_core.checkpoints.opened_model import OpenedModel

__all__ = ["ImagePrompts", "add_image_prompt_options", "require_ip_adapter"]

_FLAG, _SCALE = "--ip-image", "--ip-scale"
_PUBLISHED = "ai-forever/kandinsky3_ip_adapter"


def add_image_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command whose pipeline takes pictures beside the prompt."""
    parser.add_argument(
        _FLAG,
        action="append",
        metavar="PATH[:WEIGHT]",
        help="a picture that the result is to resemble, and its weight; may be given several times "
        f"(a model with an IP-Adapter: {_PUBLISHED}; without a hint also Kandinsky 2)",
    )
    parser.add_argument(
        _SCALE,
        type=float,
        metavar="X",
        help=f"how much the pictures of {_FLAG} count beside the prompt (1; Kandinsky 2: 0.5)",
    )


@dataclass(frozen=True, slots=True)
class ImagePrompts:
    """The pictures of `--ip-image`.

    Attributes:
        pictures: The loaded pictures.
        weights: One for each; None where none was given.
        scale: How much they count beside the prompt; None leaves the default.
    """

    pictures: tuple[InputPicture, ...]
    weights: tuple[float, ...] | None
    scale: float | None

    @classmethod
    def choose(cls, options: argparse.Namespace) -> Self:
        """Load the pictures that the options name.

        Raises:
            InvalidInputError: There is no such picture, only some have weights, or a number is not
                finite.
        """
        from kandinsky_cli.input_pictures import InputPicture
        from kandinsky_core.validation import real_number

        words = [_split(word) for word in options.ip_image or ()]
        given = [weight for _, weight in words if weight is not None]
        if given and len(given) != len(words):
            raise InvalidInputError(
                f"{_FLAG}: {len(given)} of {len(words)} pictures have weights: give each one, as "
                "PATH:WEIGHT, or none"
            )
        if options.ip_scale is not None:
            real_number(_SCALE, options.ip_scale)
            if not words:
                raise InvalidInputError(f"{_SCALE}: give {_FLAG} too, or leave it out")
        weights = tuple(real_number(f"{_FLAG}: weight", weight) for weight in given)
        pictures = tuple(InputPicture.open(_FLAG, path) for path, _ in words)
        return cls(pictures, weights or None, options.ip_scale)

    @property
    def facts(self) -> dict[str, Any]:
        """Entries for the metadata: which files these were."""
        records = [picture.record for picture in self.pictures]
        return {"ip_adapter_image": records} if records else {}

    def arguments(self, pipeline: Any) -> dict[str, Any]:
        """Set the scale of a pipeline, and return further arguments of its call."""
        if not self.pictures:
            return {}
        if self.scale is not None:
            pipeline.set_ip_adapter_scale(self.scale)
        return {
            "ip_adapter_image": [picture.picture for picture in self.pictures],
            "ip_adapter_weights": self.weights,
        }


def _split(word: str) -> tuple[str, float | None]:
    """Return path and weight of `PATH[:WEIGHT]`; a path or URL may hold colons itself."""
    path, colon, weight = word.rpartition(":")
    if not colon or not path or Path(word).exists():
        return word, None
    try:
        return path, float(weight)
    except ValueError:
        return word, None


def require_ip_adapter(
    options: argparse.Namespace, model: OpenedModel, *, two_halves: bool
) -> None:
    """Refuse `--ip-image` for a model that takes no pictures, before its weights are read.

    Args:
        options: The command's options.
        model: The model.
        two_halves: Whether it has a prior, which mixes pictures and texts without an adapter.

    Raises:
        InvalidInputError: The model has no IP-Adapter.
    """
    if two_halves or not getattr(options, "ip_image", None):
        return
    unet = model.components(["unet"])["unet"]
    if not unet.config.get("num_image_tokens"):
        raise InvalidInputError(
            f"{_FLAG}: {options.model} has no IP-Adapter: give --model {_PUBLISHED}, or leave "
            f"{_FLAG} out"
        )
