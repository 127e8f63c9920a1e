"""Checked calls: `prepare` of a pipeline returns one, and its `run` takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.noise import SeededGenerators
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.pipelines.shared.stopping import Call
from kandinsky_core.schedulers.schedule import Schedule

__all__ = ["CallRequest", "DecoderPlan", "DecoderRequest"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest(Generic[Result]):
    """Base of the checked calls; running one returns a `Result`.

    A request is run only once, because a run advances its generators; another run is refused. A
    deep copy that was made before has its own generators, and is run on its own.

    Attributes:
        call: Whether the request has been run, and whether it is to stop. Requests that are made
            of one another share it.
    """

    call: Call = field(default_factory=Call, repr=False, compare=False)

    def interrupt(self) -> None:
        """Stop this call alone at the end of its present step, from any thread.

        It may be called before `run`, which then takes one step.
        """
        self.call.stopping = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPlan:
    """The part of a request to a decoder that needs neither embeddings nor pictures.

    Attributes:
        height: Height of the pictures in pixels.
        width: Width of the pictures in pixels.
        num_inference_steps: Steps of the whole loop; `strength` takes only the last of them.
        guidance_scale: Weight of guidance, which is on above 1.
        strength: Share of the steps that image to image takes; None elsewhere.
        output_type: `pil`, `np`, `pt` or `latent`.
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
        options: The callback and the form of the result.
        count: Number B of pictures.
        source: The generators of the pictures.
        latents: Initial noise [B, C, h, w] that the caller gave; None draws it.
        embeds: CLIP's image embeddings [B, D]. Under guidance it is [2B, D], and the unconditional
            ones come first. None where the family reads none, or a prior has yet to make them.
        texts: What `check_texts` of the family returned; None where the UNet reads no texts.
        pixels: Pictures to start from or to repaint, [N, 3, H, W] in [-1, 1], or latents.
        masks: Masks [N, 1, H, W], 1 where the picture is repainted.
        hints: Hints of a ControlNet, [N, 3, 8h, 8w].
        control: Strength and window of a ControlNet's branch; None where there is none.
        guidance_rescale: See `Denoiser.begin`.
        control_facts: Entries for the metadata that say how a hint was used.
        paste_back: Whether the kept pixels are put into the finished picture.
        image_prompt: What `check_image_prompt` of the family returned, the pictures of an
            IP-Adapter; None without them.
        one_start: Whether all pictures may start from one noised picture, as in the reference where
            one picture is given for several prompts, each with one picture to make.
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
    control: Any = None
    guidance_rescale: float | None = None
    control_facts: Mapping[str, Any] = field(default_factory=dict)
    paste_back: bool = False
    image_prompt: Any = None
    one_start: bool = False

    @property
    def pictures(self) -> dict[str, FloatArray]:
        """The arrays made from the caller's pictures, by the names of the arguments."""
        found = {"image": self.pixels, "mask_image": self.masks, "hint": self.hints}
        return {name: array for name, array in found.items() if array is not None}

    @property
    def given(self) -> Mapping[str, Any]:
        """Entries for the metadata that say which arrays the caller gave."""
        names = [*self.pictures, *(["latents"] if self.latents is not None else [])]
        of_images = {} if self.image_prompt is None else self.image_prompt.facts
        return {**dict.fromkeys(names, "given"), **self.control_facts, **of_images}
