"""A checked request to the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.noise import SeededGenerators, draw_normal
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.pipelines.shared.requests import CallRequest
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.texts.prompts import Prompts

__all__ = ["PriorRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorRequest(CallRequest[KandinskyPriorPipelineOutput | tuple[Any, ...]]):
    """A checked request to the prior.

    The rows of its batch are the prompts and then the negative prompts, each `copies` times.

    Attributes:
        prompts: The texts.
        copies: Number of embeddings to make of each prompt.
        num_inference_steps: Steps of the whole loop.
        guidance_scale: Weight of guidance, which is on above 1.
        schedule: The steps that are taken.
        source: The generators that draw the noise.
        embedding_dim: Width D of an embedding.
        options: The callback and the form of the result.
        output_type: `np` or `pt`.
        latents: Initial noise that the caller gave; None draws it.
        picture: The picture to start from, as CLIP's pixels [N, 3, S, S] or as embeddings [N, D];
            None where the prior begins with noise.
    """

    prompts: Prompts
    copies: int
    num_inference_steps: int
    guidance_scale: float
    schedule: Schedule
    source: SeededGenerators
    embedding_dim: int
    options: CallOptions
    output_type: str = "np"
    latents: FloatArray | None = None
    picture: FloatArray | None = None

    @property
    def count(self) -> int:
        """Number of embeddings to make."""
        return len(self.prompts) * self.copies

    @property
    def groups(self) -> int:
        """Rows of the batch for each embedding: 2 with negative prompts, else 1."""
        return 1 if self.prompts.negatives is None else 2

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the sample: rows of the batch, and D."""
        return self.groups * self.count, self.embedding_dim

    def draw(self) -> FloatArray:
        """Draw the noise of one step."""
        return draw_normal(self.source.generators, self.shape, self.groups)
