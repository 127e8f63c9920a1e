"""Kandinsky 2.1 in one call: the combined pipelines of 2.2 around decoders that read the prompt."""

from __future__ import annotations

from typing import Any, ClassVar

from kandinsky_core.pipelines.combined import CombinedPipeline, CombinedRequest
from kandinsky_core.pipelines.decoder import DecoderPipeline
from kandinsky_core.pipelines.kandinsky2_1 import KandinskyPipeline
from kandinsky_core.pipelines.kandinsky2_1_img2img import KandinskyImg2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_1_inpaint import KandinskyInpaintPipeline
from kandinsky_core.pipelines.kandinsky2_2_combined import KandinskyV22CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_2_combined_image import (
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)

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

    decoder_class: ClassVar[type[DecoderPipeline]] = KandinskyPipeline

    def _decoder_texts(self, request: CombinedRequest) -> dict[str, Any]:
        prompts, negatives = self.decoder_pipe.check_texts(
            request.prompts, request.decoder_negative_prompt
        )
        return {
            name: [text for text in texts for _ in range(request.copies)]
            for name, texts in (("prompt", prompts), ("negative_prompt", negatives))
        }


class KandinskyCombinedPipeline(_ReadsPrompt, KandinskyV22CombinedPipeline):
    """Text to image in one call; what `AutoPipelineForText2Image` builds for 2.1."""

    decoder_class: ClassVar[type[DecoderPipeline]] = KandinskyPipeline


class KandinskyImg2ImgCombinedPipeline(_ReadsPrompt, KandinskyV22Img2ImgCombinedPipeline):
    """Image to image in one call; what `AutoPipelineForImage2Image` builds for 2.1."""

    decoder_class: ClassVar[type[DecoderPipeline]] = KandinskyImg2ImgPipeline


class KandinskyInpaintCombinedPipeline(_ReadsPrompt, KandinskyV22InpaintCombinedPipeline):
    """Inpainting in one call; what `AutoPipelineForInpainting` builds for 2.1."""

    decoder_class: ClassVar[type[DecoderPipeline]] = KandinskyInpaintPipeline
