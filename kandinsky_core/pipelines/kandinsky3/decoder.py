"""What the pipelines of Kandinsky 3 share: there is no prior, and the UNet reads the prompt alone.

The scale w of guidance means (w + 1) conditional - w unconditional, as in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.denoising.loop import require_finite
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.memory.call_size import FLOAT, Need, host, require_room_for_call
from kandinsky_core.memory.on_demand_encoder import LOADINGS
from kandinsky_core.pipelines.kandinsky3.conventions import (
    WITH_NULL_EMBEDDING,
    ConventionPipeline,
    require_null_embedding,
)
from kandinsky_core.pipelines.kandinsky3.prompt_embeds import PromptEmbeds
from kandinsky_core.pipelines.kandinsky3.texts import (
    States,
    Texts,
    check_texts,
    conditioning_of,
    fitted,
    of_length,
    text_length,
    tokens_of,
    zeroed_conditioning,
)
from kandinsky_core.pipelines.kandinsky3.verified_parts import Kandinsky3Parts
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.pipelines.shared.known_tokens import known_tokens
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.seam.networks import Autoencoder, Denoiser, T5TextEncoder
from kandinsky_core.texts.beautify import beautifier_for
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer
from kandinsky_core.validation import as_batch, positive_int

__all__ = ["Kandinsky3Decoder", "picture_size"]

_SIDE = 1024  # pixels that the published UNet was trained at; its config does not say


class Kandinsky3Decoder(ConventionPipeline):
    """Base of the pipelines of Kandinsky 3.

    The null embedding is None for diffusers' weights, which were published without it.
    """

    component_names: ClassVar[tuple[str, ...]] = (
        "tokenizer",
        "text_encoder",
        *DecoderPipeline.component_names,
        "null_embedding",
    )
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
        "negative_attention_mask",
        "attention_mask",
        "text_encoder_hidden_states",
    )
    callback_views: ClassVar[Mapping[str, View]] = {
        "prompt_embeds": View("text_encoder_hidden_states"),
        "negative_prompt_embeds": View("text_encoder_hidden_states", unconditional=True),
        "negative_attention_mask": View("attention_mask", unconditional=True),
    }
    text_encoder_loadings: ClassVar[tuple[str, ...]] = LOADINGS
    verified: ClassVar[type[VerifiedParts]] = Kandinsky3Parts

    def __init__(
        self,
        tokenizer: T5Tokenizer | None,
        text_encoder: T5TextEncoder | None,
        unet: Denoiser,
        scheduler: Scheduler,
        movq: Autoencoder,
        null_embedding: Array | None = None,
        **others: Any,
    ) -> None:
        if null_embedding is not None:
            width = None if unet is None else unet.config.cross_attention_dim
            null_embedding = as_batch("null_embedding", np.reshape(null_embedding, -1), (width,))
        super().__init__(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=unet,
            scheduler=scheduler,
            movq=movq,
            null_embedding=null_embedding,
            **others,
        )
        self.tokenizer: T5Tokenizer | None
        self.text_encoder: T5TextEncoder | None

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse a UNet that was trained for another task or family.

        Raises:
            ConfigError: The UNet is for another task or family; the message says for which.
        """
        unet = configs.get("unet")
        if unet is None:
            return
        if unet.family != "3":
            raise ConfigError(f"{cls.__name__} needs the UNet of Kandinsky 3: load its checkpoint")
        if unet.kind != cls.kind:
            raise ConfigError(
                f"{cls.__name__} does not fit a UNet with {unet.in_channels} input channels: "
                "4 are for pictures from text, 9 for inpainting"
            )

    @classmethod
    def trained_side(cls, unet: Any, autoencoder: Any) -> int:
        """Return the side that the UNet was trained at, which its config does not tell."""
        return _SIDE

    def _stand_ins(self) -> dict[str, Any]:
        inputs = super()._stand_ins()
        if self.text_encoder is None:
            states = np.zeros((1, 1, self.unet.config.encoder_hid_dim), np.float32)
            mask = np.ones(states.shape[:2], bool)
            inputs |= {"prompt": None, "prompt_embeds": states, "attention_mask": mask}
        return inputs

    @property
    def _text_width(self) -> int:
        """Width of the text encoder's states, also where the UNet that reads them is left out."""
        unet: Denoiser | None = self.unet
        if unet is not None:
            return int(unet.config.encoder_hid_dim)
        if self.text_encoder is None:
            raise InvalidInputError(
                "this pipeline has neither UNet nor text encoder: load it with one of them"
            )
        return int(self.text_encoder.config.d_model)

    def check_texts(
        self, prompt: Any, negative_prompt: Any = None, beautify: Any = None, **embeds: Any
    ) -> Texts:
        """Check the texts of a call.

        Args:
            prompt: Texts, or None where their states are given.
            negative_prompt: Texts, or None.
            beautify: What expands the prompts, or None.
            **embeds: The fields of `PromptEmbeds`.

        Raises:
            InvalidInputError: A prompt and its states are both given, or neither; a mask is
                missing; numbers and shapes do not agree; or there is no text encoder for a text.
        """
        require_null_embedding(self.convention, self.null_embedding)
        texts = check_texts(
            self._text_width,
            prompt,
            negative_prompt,
            *(
                embeds.get(name)
                for name in (
                    "prompt_embeds",
                    "negative_prompt_embeds",
                    "attention_mask",
                    "negative_attention_mask",
                )
            ),
        )
        if (texts.prompts or texts.negatives) and None in (self.text_encoder, self.tokenizer):
            raise InvalidInputError(
                "this pipeline has no text encoder: give prompt_embeds and attention_mask, which "
                "encode_prompt of one that has it makes, or load the pipeline with it"
            )
        return replace(texts, beautifier=beautifier_for(beautify))

    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        do_classifier_free_guidance: bool = True,
        num_images_per_prompt: int = 1,
        device: Any = None,
        negative_prompt: str | list[str] | None = None,
        prompt_embeds: Array | None = None,
        negative_prompt_embeds: Array | None = None,
        _cut_context: bool = True,
        attention_mask: Array | None = None,
        negative_attention_mask: Array | None = None,
    ) -> PromptEmbeds:
        """Encode prompts, so that later calls take the result in their place: `pipe(**embeds)`.

        Source: the method of this name in diffusers' pipeline. There it keeps 128 tokens, while a
        call keeps one more than the longest text has. Here it keeps as many as a call.

        Args:
            prompt: One prompt or a list of P.
            do_classifier_free_guidance: Whether to give negative states too.
            num_images_per_prompt: n; each text is repeated n times.
            device: Has no effect; the states are NumPy's.
            negative_prompt: The text that describes what to keep out: one for all, or one for each.
            prompt_embeds: States that a prompt was encoded into before, in its place.
            negative_prompt_embeds: The same of the negative prompt.
            _cut_context: Has no effect; scripts written for diffusers may pass it.
            attention_mask: The mask of `prompt_embeds`, required beside it.
            negative_attention_mask: The mask of `negative_prompt_embeds`, required beside it.

        Raises:
            InvalidInputError: A prompt is no text, or is given twice or not at all.
            DeviceMemoryError: The states are too many for this machine.
            NonFiniteError: The text encoder gave NaN or infinity.
        """
        copies = positive_int("num_images_per_prompt", num_images_per_prompt)
        texts = self.check_texts(
            prompt,
            negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            attention_mask=attention_mask,
            negative_attention_mask=negative_attention_mask,
        )
        size = texts.count * copies * self._text_width * FLOAT  # of one token each
        require_room_for_call(f"{texts.count * copies} texts", [Need("their states", size, host())])
        rows = self._encode(texts, bool(do_classifier_free_guidance))
        repeated = [[np.repeat(part, copies, axis=0) for part in row] for row in rows]
        negative = repeated[0] if len(rows) > 1 else (None, None)
        return PromptEmbeds(repeated[-1][0], negative[0], repeated[-1][1], negative[1])

    def _encode(self, texts: Texts, guided: bool) -> list[States]:
        """Return states and masks of one length; with guidance the unconditional ones come first.

        A negative prompt keeps as many tokens as the states of its prompt have. With a null
        embedding it has no more tokens than its prompt, and the last one is the end of the text. It
        keeps its own mask, where the authors' code takes the prompt's.
        """
        negatives = texts.negatives if guided else None
        tokens = [self._tokens(texts.prompts)] if texts.prompts else []
        if negatives:
            mask = texts.states[1] if texts.states is not None else tokens[0][1]
            ids, own = self._tokens(negatives, self._longest_negatives(mask, texts.cut))
            tokens.append((ids, of_length(mask, ids.shape[1]) if self._as_authors else own))
        encoded = self._encode_tokens(tokens)
        positive = texts.states or encoded[0]
        whole = texts.states or not texts.cut
        length = positive[0].shape[1] if whole else text_length(positive[1])
        rows = [fitted(positive, length)]
        if guided:
            negative = texts.negative_states or (encoded[-1] if negatives else None)
            nothing = np.zeros_like(rows[0][0]), np.zeros_like(rows[0][1])
            rows.insert(0, nothing if negative is None else fitted(negative, length))
        return rows

    def _longest_negatives(self, mask: Array, cut: bool) -> Array | None:
        """Return how many tokens negative prompts keep, [P], or None for all.

        Args:
            mask: The mask of the prompts, [P, L].
            cut: See `Texts`.
        """
        found: Array | None = mask.sum(axis=1) if self.convention in WITH_NULL_EMBEDDING else None
        return found

    def _tokens(self, texts: list[str], lengths: Any = None) -> tuple[Array, Array]:
        assert self.tokenizer is not None  # or `check_texts` would have refused
        return tokens_of(self.tokenizer, texts, lengths)

    def _encode_tokens(self, tokens: list[tuple[Array, Array]]) -> list[States]:
        """Encode all sets of ids and masks in one call, as each call may load the encoder anew."""
        if not tokens:
            return []
        assert self.text_encoder is not None
        joined = (np.concatenate(part) for part in zip(*tokens, strict=True))
        ids, mask = known_tokens(joined, self.text_encoder)
        states = self.text_encoder.encode(ids, mask)
        require_finite(states, "the text encoder", self.text_encoder.dtype)
        states = states * mask[..., None]
        first = len(tokens[0][0])
        return [(states[:first], mask[:first]), (states[first:], mask[first:])][: len(tokens)]

    def _make(self, request: DecoderRequest) -> ImagePipelineOutput:
        """A beautifier expands the prompts first."""
        return super()._make(replace(request, texts=request.texts.expanded()))

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        """Return what the UNet reads of the texts, the unconditional rows first.

        Masks are repeated as states are (the reference tiles them).
        """
        rows = self._encode(request.texts, request.plan.guided)
        copies = request.count // request.texts.count
        states, mask = (
            np.concatenate([np.repeat(row[part], copies, axis=0) for row in rows])
            for part in range(2)
        )
        if self.convention == "adapters":
            prompts = request.texts.prompts or [None] * request.texts.count
            empty = np.repeat([prompt == "" for prompt in prompts], copies)
            return zeroed_conditioning((states, mask), empty)
        trained = None if self.convention == "diffusers" else self.null_embedding
        return conditioning_of((states, mask), trained)

    def _texts_of_pictures(self, request: DecoderRequest) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = request.texts.facts(request.count // request.texts.count)
        return found

    def _weight_in_loop(self, given: float, present: float) -> float:
        """See `DiffusionPipeline`; as in diffusers, a callback switches guidance on or off only."""
        return given + 1 if present > 1 else 1.0


def picture_size(
    image: Any, height: int | None, width: int | None, largest: int | None = None
) -> tuple[int | None, int | None]:
    """Return the height and width asked for, or else the size of a PIL picture.

    Args:
        image: The picture of a call, or a list whose first item counts.
        height: Pixels, or None.
        width: Pixels, or None.
        largest: Number of pixels to which a larger picture is scaled down; None keeps its size.
    """
    first = image[0] if isinstance(image, (list, tuple)) and image else image
    own = getattr(first, "size", None)
    if height is None and width is None and isinstance(own, tuple):
        factor = 1.0 if largest is None else max(1.0, (own[0] * own[1] / largest) ** 0.5)
        width, height = (max(1, round(side / factor)) for side in own)
    return height, width
