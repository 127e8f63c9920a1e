"""Kandinsky 2.2: the prior and a ControlNet decoder loaded together.

diffusers has no combined pipeline for ControlNet, so these have no call: a caller runs the halves.
"""

from __future__ import annotations

from typing import ClassVar

from kandinsky_core.pipelines.kandinsky2_2.controlnet import (
    KandinskyV22ControlnetImg2ImgPipeline,
    KandinskyV22ControlnetPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline

__all__ = ["ControlnetHalves", "ControlnetImageHalves"]


class ControlnetHalves(CombinedPipeline):
    """The halves that make pictures from a text and a hint."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyV22ControlnetPipeline


class ControlnetImageHalves(CombinedPipeline):
    """The halves that change a picture as a text and a hint say."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyV22ControlnetImg2ImgPipeline
