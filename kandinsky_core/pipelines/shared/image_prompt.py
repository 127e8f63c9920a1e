"""Pictures beside the prompt, as a call gets them: for an IP-Adapter, or what stands for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.validation import real_number

__all__ = ["ImagePrompt", "pictures_of", "weights_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrompt:
    """Checked pictures of a call, or their embedding.

    Attributes:
        pixels: Pixels for CLIP, one [1, 3, S, S] for each picture.
        weights: The weight of each picture.
        embeds: The embedding in their place, [1, D], or [2, D] with the unconditional one first.
        scale: How much the pictures count beside the text.
    """

    pixels: tuple[FloatArray, ...] = ()
    weights: tuple[float, ...] = ()
    embeds: FloatArray | None = None
    scale: float = 1.0

    @property
    def facts(self) -> dict[str, Any]:
        """Entries for the metadata of the pictures that are made."""
        name = "ip_adapter_image" if self.embeds is None else "ip_adapter_image_embeds"
        weights = {"ip_adapter_weights": list(self.weights)} if self.weights else {}
        return {name: "given", **weights, "ip_adapter_scale": self.scale}


def pictures_of(name: str, image: Any) -> list[Any]:
    """Return the pictures of a call: one, a list, or a list that holds a list, as in diffusers.

    Args:
        name: The argument's name, for the error.
        image: The argument.

    Raises:
        InvalidInputError: There is none, or there are several lists.
    """
    items = list(image) if isinstance(image, (list, tuple)) else [image]
    if len(items) == 1 and isinstance(items[0], (list, tuple)):
        items = list(items[0])
    if not items or any(isinstance(item, (list, tuple)) for item in items):
        raise InvalidInputError(
            f"{name}: give a picture or a list of pictures; there is one IP-Adapter"
        )
    return items


def weights_of(weights: Any, count: int) -> tuple[float, ...]:
    """Return one weight for each picture of a call; None gives all the same share of 1.

    Raises:
        InvalidInputError: There are more or fewer, or one is no finite number.
    """
    if weights is None:
        return (1 / count,) * count
    given = weights.tolist() if hasattr(weights, "tolist") else weights  # an array's numbers
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(items) != count:
        raise InvalidInputError(
            f"{count} pictures but {len(items)} weights: give ip_adapter_weights one for each"
        )
    return tuple(real_number("ip_adapter_weights", item) for item in items)
