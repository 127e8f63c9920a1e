"""Checked calls: what `prepare` of a pipeline returns, and what its `run` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.noise import SeededGenerators
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.schedulers.schedule import Schedule

__all__ = ["CallRequest", "DecoderPlan", "DecoderRequest"]

Result = TypeVar("Result")


class CallRequest(Generic[Result]):
    """Base of the checked calls; running one returns a `Result`.

    A request is run once: its generators are at work then, and run on.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPlan:
    """The part of a request to a decoder that neither embeddings nor pictures are needed for.

    Attributes:
        height: Pixels.
        width: Pixels.
        num_inference_steps: Steps of the whole loop, of which `strength` takes the last.
        guidance_scale: Guidance is on above 1.
        strength: Share of the steps that image to image takes; None elsewhere.
        output_type: `pil`, `np` or `latent`.
        schedule: The steps that are taken.
        latent_shape: (C, h, w) of one latent.
    """

    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    strength: float | None
    output_type: str
    schedule: Schedule
    latent_shape: tuple[int, int, int]

    @property
    def guided(self) -> bool:
        """Whether unconditional rows run beside the conditional ones."""
        return self.guidance_scale > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderRequest(CallRequest[ImagePipelineOutput | tuple[Any, ...]]):
    """A checked call of a decoder.

    Attributes:
        plan: Sizes, steps and guidance.
        options: What the caller wants to see.
        count: Number B of pictures.
        source: Their generators.
        latents: Initial noise [B, C, h, w] that the caller gave; None draws it.
        embeds: CLIP's image embeddings [B, D], behind as many unconditional ones when guidance is
            on. None where the family reads none, or where a prior has yet to make them.
        texts: What `check_texts` of the family returned; None where the UNet reads no texts.
        pixels: Pictures to start from or to repaint, [N, 3, H, W] in [-1, 1], or latents.
        masks: [N, 1, H, W], 1 where the picture is repainted.
        hints: Hints of a ControlNet, [N, 3, 8h, 8w] in [0, 1].
        paste_back: Whether the kept pixels are put into the finished picture.
    """

    plan: DecoderPlan
    options: CallOptions
    count: int
    source: SeededGenerators
    latents: FloatArray | None = None
    embeds: FloatArray | None = None
    texts: Any = None
    pixels: FloatArray | None = None
    masks: FloatArray | None = None
    hints: FloatArray | None = None
    paste_back: bool = False

    @property
    def pictures(self) -> dict[str, FloatArray]:
        """The arrays made of pictures that the caller gave, by the names of the arguments."""
        found = {"image": self.pixels, "mask_image": self.masks, "hint": self.hints}
        return {name: array for name, array in found.items() if array is not None}

    @property
    def given(self) -> Mapping[str, str]:
        """What the metadata says of the arrays that the caller gave."""
        names = [*self.pictures, *(["latents"] if self.latents is not None else [])]
        return dict.fromkeys(names, "given")
