"""What sets the decoders of Kandinsky 2.1 apart: they read the prompt, in many languages.

All else is the same decoder: this module, the signatures that begin with the prompt, the noise of
image to image, and the missing blend of inpainting are the whole difference of the families.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import require_finite
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.networks import Autoencoder, Denoiser, MultilingualTextEncoder
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
from kandinsky_core.validation import as_prompts, negatives_for

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

    def check_texts(self, prompt: Any, negative_prompt: Any) -> tuple[list[str], list[str]]:
        """Return P prompts and as many negative ones, empty where none is given.

        Raises:
            InvalidInputError: They are no texts, or their numbers differ.
        """
        prompts = as_prompts("prompt", prompt)
        return prompts, negatives_for(prompts, negative_prompt) or [""] * len(prompts)

    def _text_conditioning(
        self, texts: tuple[list[str], list[str]], count: int, guided: bool
    ) -> dict[str, Array]:
        """Encode texts of `check_texts` for `count` pictures, the unconditional rows first.

        Raises:
            InvalidInputError: The prompts cannot be shared out evenly.
        """
        prompts, negatives = texts
        if count % len(prompts):
            raise InvalidInputError(
                f"{len(prompts)} prompts for {count} pictures: give one for all, or one for each "
                "row of image_embeds"
            )
        rows = [*(negatives if guided else []), *prompts]
        encoded = {text: self._encode_text(text) for text in dict.fromkeys(rows)}
        order = [text for text in rows for _ in range(count // len(prompts))]
        names = ("text_embeds", "text_encoder_hidden_states")
        return {
            name: np.concatenate([encoded[text][part] for text in order])
            for part, name in enumerate(names)
        }

    def _encode_text(self, text: str) -> tuple[FloatArray, FloatArray]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        embeds, hidden = self.text_encoder.encode(*self.tokenizer([text]))
        require_finite(embeds, "the text encoder", self.text_encoder.dtype)
        return embeds, hidden
