"""Adds to the decoder of Kandinsky 2.2 what 2.1 has: it reads the prompt, in many languages.

The families differ in four points: this module, the signatures that begin with the prompt, the
noise of image to image, and the blend of inpainting, which 2.1 lacks.
"""

from __future__ import annotations

from typing import Any, ClassVar

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import require_finite
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.shared.encoded_texts import encoded_texts
from kandinsky_core.pipelines.shared.known_tokens import known_tokens
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.networks import Autoencoder, Denoiser, MultilingualTextEncoder
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
from kandinsky_core.texts.prompts import Prompts

__all__ = ["Kandinsky21Decoder"]


class Kandinsky21Decoder(EmbeddingDecoder):
    """Base of the decoders that read texts beside image embeddings."""

    component_names: ClassVar[tuple[str, ...]] = (
        "text_encoder",
        "tokenizer",
        *EmbeddingDecoder.component_names,
    )
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *EmbeddingDecoder.callback_tensor_inputs,
        "text_embeds",
        "text_encoder_hidden_states",
    )
    reads_text: ClassVar[bool] = True

    def __init__(
        self,
        text_encoder: MultilingualTextEncoder,
        tokenizer: XLMRobertaTokenizer,
        unet: Denoiser,
        scheduler: Scheduler,
        movq: Autoencoder,
    ) -> None:
        super().__init__(
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            movq=movq,
        )
        self.text_encoder: MultilingualTextEncoder
        self.tokenizer: XLMRobertaTokenizer

    def check_texts(self, prompt: Any, negative_prompt: Any, count: int) -> Prompts:
        """Return P prompts for `count` pictures, and as many negative ones where any are given.

        Raises:
            InvalidInputError: A prompt is no text, the numbers of prompts differ, or the prompts
                cannot be shared out evenly.
        """
        prompts = Prompts.check(prompt, negative_prompt)
        if count % len(prompts):
            raise InvalidInputError(
                f"{len(prompts)} prompts for {count} pictures: give one for all, or one for each "
                "row of image_embeds"
            )
        return prompts

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        return {**super()._conditioning(request), **self._text_conditioning(request)}

    def _text_conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        """Encode the texts for all pictures, the unconditional rows first."""
        names = ("text_embeds", "text_encoder_hidden_states")
        return encoded_texts(request, self._encode_text, names)

    def _encode_text(self, text: str) -> tuple[FloatArray, FloatArray]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        embeds, hidden = self.text_encoder.encode(
            *known_tokens(self.tokenizer([text]), self.text_encoder)
        )
        require_finite(embeds, "the text encoder", self.text_encoder.dtype)
        return embeds, hidden
