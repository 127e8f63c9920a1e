"""The prior of Kandinsky 2.1, by whose name diffusers' guide loads that of 2.2 too."""

from __future__ import annotations

from kandinsky_core.pipelines.kandinsky2_2_prior import KandinskyV22PriorPipeline

__all__ = ["KandinskyPriorPipeline"]


class KandinskyPriorPipeline(KandinskyV22PriorPipeline):
    """Text to image embeddings: the same networks, arguments and results as in 2.2.

    Source: diffusers' pipeline of the same name.
    """
