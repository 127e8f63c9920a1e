"""What pipelines return: read by attribute, by index, by name, or unpacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kandinsky_core.arrays import FloatArray
from kandinsky_core.pictures.torch_tensors import as_torch

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImagePipelineOutput", "KandinskyPriorPipelineOutput", "PipelineOutput"]


class PipelineOutput:
    """Base: `out.images`, `out["images"]`, `out[0]`, `(images,) = out`, `f(**out)` all work."""

    _fields: tuple[str, ...] = ()

    def keys(self) -> tuple[str, ...]:
        """Return the field names, so that `f(**out)` works."""
        return self._fields

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values in the order of the fields."""
        return tuple(getattr(self, name) for name in self._fields)

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            if key not in self._fields:
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True, eq=False)
class ImagePipelineOutput(PipelineOutput):
    """The pictures of a call, and how each was made.

    Attributes:
        images: PIL pictures, or float32 [B, H, W, 3] in [0, 1], or a PyTorch tensor [B, 3, H, W],
            or latents [B, C, h, w].
        metadata: For each picture the settings that make it again; a plain tuple leaves it out.
        interrupted: `{"steps": 3, "of": 20}` where the call was stopped after 3 of 20 steps. The
            entry `prior` says the same of the prior, where that was stopped. None for a call that
            took all its steps.
    """

    images: list[Image.Image] | FloatArray
    metadata: Sequence[Mapping[str, Any]] = field(default=())
    interrupted: Mapping[str, Any] | None = None
    _fields = ("images",)


@dataclass(frozen=True, eq=False)
class KandinskyPriorPipelineOutput(PipelineOutput):
    """Image embeddings for the decoder.

    Attributes:
        image_embeds: float32 [B, D], an array or a PyTorch tensor.
        negative_image_embeds: As `image_embeds`.
        interrupted: As for `ImagePipelineOutput`.
    """

    image_embeds: FloatArray
    negative_image_embeds: FloatArray
    interrupted: Mapping[str, Any] | None = None
    _fields = ("image_embeds", "negative_image_embeds")

    def in_form(self, output_type: str) -> KandinskyPriorPipelineOutput:
        """Return these embeddings as PyTorch tensors where `output_type` is `pt`."""
        if output_type != "pt":
            return self
        embeds, negative = map(as_torch, (self.image_embeds, self.negative_image_embeds))
        return KandinskyPriorPipelineOutput(embeds, negative, self.interrupted)
