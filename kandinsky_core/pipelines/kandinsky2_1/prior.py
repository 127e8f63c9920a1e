"""The prior of Kandinsky 2.1; diffusers' guide loads the prior of 2.2 by this name too."""

from __future__ import annotations

from kandinsky_core.pipelines.kandinsky2_2.prior import KandinskyV22PriorPipeline

__all__ = ["KandinskyPriorPipeline"]


class KandinskyPriorPipeline(KandinskyV22PriorPipeline):
    """The prior of 2.2 with narrower embeddings; its config gives their width.

    Source: diffusers' pipeline of the same name. Difference: `interpolate` gives a row for each of
    several pictures (the reference sums them all into one).
    """
