"""Says what a pipeline of Kandinsky 3 follows where diffusers and ai-forever's own code differ.

- `diffusers`: texts are read as in diffusers.
- `mended`: texts are read as the weights of ai-forever were trained: with the null embedding, and
  with padding that is zero behind the projection. All else is as in `diffusers`.
- `authors`: pictures are those that ai-forever's code makes. So a negative prompt is seen through
  the mask of its prompt, the sampler computes a variance in float32, PIL pictures are truncated,
  sides are rounded down, and a soft mask stays soft.
- `adapters`: texts are read as the weights of an IP-Adapter were trained: an empty text, and the
  padding of a negative prompt, are zero behind the projection. All else is as in `diffusers`.

Sources: ai-forever/Kandinsky-3, and ai-forever/kandinsky3-diffusers for `adapters`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.pipelines.shared.requests import DecoderPlan
from kandinsky_core.schedulers import Kandinsky3Scheduler, Scheduler
from kandinsky_core.validation import one_of, positive_int

__all__ = [
    "CONVENTIONS",
    "WITH_NULL_EMBEDDING",
    "ConventionPipeline",
    "require_null_embedding",
]

WITH_NULL_EMBEDDING = ("mended", "authors")
"""The conventions that read an empty text as a vector that was trained for it."""
CONVENTIONS = ("diffusers", *WITH_NULL_EMBEDDING, "adapters")


class ConventionPipeline(DecoderPipeline):
    """Base of the pipelines of Kandinsky 3 that holds the convention, and what it changes.

    Attributes:
        null_embedding: The vector [D] that stands for an empty text, or None.
        convention: `mended` where there is a null embedding, `adapters` where there is none and the
            UNet has an IP-Adapter, else `diffusers`; it may be set.
    """

    null_embedding: Array | None

    def __init__(self, *, null_embedding: Array | None, **components: Any) -> None:
        super().__init__(**components, null_embedding=null_embedding)
        self._convention = "diffusers" if null_embedding is None else "mended"

    @property
    def convention(self) -> str:
        """What the pipeline follows where sources differ; see the module."""
        return self._convention

    @convention.setter
    def convention(self, value: str) -> None:
        chosen = one_of("convention", value, CONVENTIONS)
        require_null_embedding(chosen, self.null_embedding)
        self._convention = chosen

    def _take_over(self, other: Any, had: dict[str, Any], taken: dict[str, Any]) -> None:
        super()._take_over(other, had, taken)
        if self.null_embedding is not None or other.convention not in WITH_NULL_EMBEDDING:
            self.convention = other.convention

    @property
    def _as_authors(self) -> bool:
        return self._convention == "authors"

    @property
    def _sampler(self) -> Scheduler:
        scheduler = self.scheduler
        if self._as_authors and isinstance(scheduler, Kandinsky3Scheduler):
            return replace(scheduler, float32_variance=True)
        return scheduler

    def _size(
        self, height: int | None, width: int | None, halvings: int = 1
    ) -> tuple[int | None, int | None]:
        """Return a size as it is, or for the authors rounded down.

        Args:
            height: Pixels, or None.
            width: Pixels, or None.
            halvings: 1 rounds to whole latent cells, 2 to what the UNet's levels take.

        Raises:
            InvalidInputError: A side is no positive integer, or nothing is left of it.
        """
        if not self._as_authors:
            return height, width
        multiple = self.movq_scale_factor**halvings
        return _rounded("height", height, multiple), _rounded("width", width, multiple)

    def _images(
        self,
        latents: FloatArray,
        plan: DecoderPlan,
        finish: Callable[[FloatArray], FloatArray] | None,
    ) -> Any:
        if self._as_authors and plan.output_type == "pil":
            finish = _truncating(finish)
        return super()._images(latents, plan, finish)

    def _facts(self, plan: DecoderPlan) -> dict[str, Any]:
        return {**super()._facts(plan), "convention": self._convention}


def require_null_embedding(convention: str, null_embedding: Array | None) -> None:
    """Refuse a convention that reads texts by a null embedding, where there is none.

    Raises:
        InvalidInputError: There is none.
    """
    if convention in WITH_NULL_EMBEDDING and null_embedding is None:
        raise InvalidInputError(
            f"convention={convention!r} needs the null embedding, which these weights have not: "
            "load those that ai-forever published, or take convention='diffusers'"
        )


def _rounded(name: str, side: int | None, multiple: int) -> int | None:
    if side is None:
        return None
    found = positive_int(name, side) // multiple * multiple
    if not found:
        raise InvalidInputError(
            f"{name}={side}: convention='authors' rounds it down to a multiple of {multiple}; give "
            "at least that"
        )
    return found


def _truncating(
    finish: Callable[[FloatArray], FloatArray] | None,
) -> Callable[[FloatArray], FloatArray]:
    """Return a function that cuts images down to multiples of 1/255, and then finishes them.

    Kept pixels that are put back are such already, so they are not to be cut.
    """

    def truncated(images: FloatArray) -> FloatArray:
        cut: FloatArray = np.floor(images * np.float32(255)) / np.float32(255)
        return cut if finish is None else finish(cut)

    return truncated
