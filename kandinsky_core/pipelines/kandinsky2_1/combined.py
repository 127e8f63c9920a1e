"""Kandinsky 2.1 in one call: the combined pipelines of 2.2 around decoders that read the prompt."""

from __future__ import annotations

from typing import Any, ClassVar

from kandinsky_core.pipelines.kandinsky2_1.image_to_image import KandinskyImg2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_1.inpainting import KandinskyInpaintPipeline
from kandinsky_core.pipelines.kandinsky2_1.text_to_image import KandinskyPipeline
from kandinsky_core.pipelines.kandinsky2_2.combined import KandinskyV22CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.texts.prompts import Prompts

__all__ = [
    "KandinskyCombinedPipeline",
    "KandinskyImg2ImgCombinedPipeline",
    "KandinskyInpaintCombinedPipeline",
]


class _ReadsPrompt(CombinedPipeline):
    """Passes the prompts on to the decoder, each beside the embeddings that were made of it.

    The reference repeats them in another order than the embeddings when there are several prompts
    with several pictures each.
    """

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyPipeline

    def _decoder_texts(self, prompts: Prompts, negative_prompt: Any) -> Prompts:
        return Prompts.check(Prompts(prompts.texts), negative_prompt)


class KandinskyCombinedPipeline(_ReadsPrompt, KandinskyV22CombinedPipeline):
    """Text to image in one call; `AutoPipelineForText2Image` builds it for 2.1."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyPipeline


class KandinskyImg2ImgCombinedPipeline(_ReadsPrompt, KandinskyV22Img2ImgCombinedPipeline):
    """Image to image in one call; `AutoPipelineForImage2Image` builds it for 2.1."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyImg2ImgPipeline


class KandinskyInpaintCombinedPipeline(_ReadsPrompt, KandinskyV22InpaintCombinedPipeline):
    """Inpainting in one call; `AutoPipelineForInpainting` builds it for 2.1."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyInpaintPipeline
