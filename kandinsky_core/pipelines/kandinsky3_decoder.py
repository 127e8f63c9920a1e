"""What the pipelines of Kandinsky 3 share: there is no prior, and the UNet reads the prompt alone.

The convention of texts and guidance is diffusers': zero states and a mask of False are the
unconditional text, and the scale w means (w + 1) conditional - w unconditional.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.denoise import require_finite
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.interfaces import (
    Array,
    Autoencoder,
    Denoiser,
    FloatArray,
    T5TextEncoder,
)
from kandinsky_core.pipelines.decoder import DecoderPipeline, DecoderPlan
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.tokenizer_t5 import T5Tokenizer
from kandinsky_core.validation import as_batch, as_prompts, negatives_for, positive_int

__all__ = ["Kandinsky3Decoder", "Texts"]

_SIDE = 1024  # pixels that the published UNet was trained at; its config does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Checked texts: prompts, or their states with masks.

    Attributes:
        prompts: P prompts, or nothing where their states are given.
        negatives: As many negative ones, or None.
        states: Given states [P, L, H] and mask [P, L], or None.
        negative_states: Likewise.
    """

    prompts: list[str]
    negatives: list[str] | None
    states: tuple[FloatArray, Array] | None
    negative_states: tuple[FloatArray, Array] | None

    @property
    def count(self) -> int:
        """P."""
        return len(self.prompts) if self.states is None else len(self.states[0])


class Kandinsky3Decoder(DecoderPipeline):
    """Base of the pipelines."""

    component_names: ClassVar[tuple[str, ...]] = (
        "tokenizer",
        "text_encoder",
        *DecoderPipeline.component_names,
    )
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "text_encoder_hidden_states",
        "attention_mask",
    )

    def __init__(
        self,
        tokenizer: T5Tokenizer,
        text_encoder: T5TextEncoder,
        unet: Denoiser,
        scheduler: Scheduler,
        movq: Autoencoder,
    ) -> None:
        super().__init__(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=unet,
            scheduler=scheduler,
            movq=movq,
        )
        self.tokenizer: T5Tokenizer
        self.text_encoder: T5TextEncoder

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse a UNet that was trained for another task or family.

        Raises:
            ConfigError: Says what the UNet is.
        """
        unet = configs.get("unet")
        if unet is None:
            return
        if not hasattr(unet, "encoder_hid_dim") or hasattr(unet, "addition_embed_type"):
            raise ConfigError(f"{cls.__name__} needs the UNet of Kandinsky 3: load its checkpoint")
        inpaints = unet.in_channels > 4
        if inpaints != (cls.kind == "inpaint"):
            raise ConfigError(
                f"{cls.__name__} does not fit a UNet with {unet.in_channels} input channels: "
                "4 are for pictures from text, 9 for inpainting"
            )

    @property
    def default_size(self) -> int:
        """Side in pixels that the UNet was trained at."""
        return _SIDE

    def check_texts(
        self,
        prompt: Any,
        negative_prompt: Any,
        prompt_embeds: Any,
        negative_prompt_embeds: Any,
        attention_mask: Any,
        negative_attention_mask: Any,
    ) -> Texts:
        """Check the texts of a call.

        Raises:
            InvalidInputError: A prompt and its states are both given, or neither; a mask is
                missing; or numbers and shapes do not agree.
        """
        if (prompt is None) == (prompt_embeds is None):
            raise InvalidInputError("give either prompt or prompt_embeds with attention_mask")
        if negative_prompt is not None and negative_prompt_embeds is not None:
            raise InvalidInputError("give negative_prompt or negative_prompt_embeds, not both")
        prompts = [] if prompt is None else as_prompts("prompt", prompt)
        states = self._given("prompt_embeds", prompt_embeds, "attention_mask", attention_mask)
        negative = self._given(
            "negative_prompt_embeds",
            negative_prompt_embeds,
            "negative_attention_mask",
            negative_attention_mask,
        )
        count = len(prompts) if states is None else len(states[0])
        negatives = negatives_for(prompts or [""] * count, negative_prompt)
        if negative is not None and len(negative[0]) != count:
            raise InvalidInputError(
                f"negative_prompt_embeds has {len(negative[0])} rows for {count} prompts: give "
                "one for each"
            )
        return Texts(prompts=prompts, negatives=negatives, states=states, negative_states=negative)

    def _given(
        self, name: str, states: Any, mask_name: str, mask: Any
    ) -> tuple[FloatArray, Array] | None:
        if states is None:
            return None
        found = as_batch(name, states, (None, None, self.unet.config.encoder_hid_dim))
        return found, as_batch(mask_name, mask, found.shape[:2]) > 0

    def encode_prompt(self, prompt: str | list[str]) -> tuple[FloatArray, Array]:
        """Encode prompts, to be passed later as `prompt_embeds` and `attention_mask`.

        Returns:
            States [P, L, H], zero on padding, and the mask [P, L]. L is one more than the tokens of
            the longest prompt, 128 at most: the UNet takes a mean over all of them.

        Raises:
            InvalidInputError: They are no texts.
            NonFiniteError: The text encoder gave NaN or infinity.
        """
        states, mask = self._encode(as_prompts("prompt", prompt))
        length = int(mask.sum(axis=1).max()) + 1
        return states[:, :length], mask[:, :length]

    def _encode(self, texts: list[str]) -> tuple[FloatArray, Array]:
        encoded = [self._encode_text(text) for text in texts]
        states, masks = (np.concatenate(part) for part in zip(*encoded, strict=True))
        return states, masks

    def _text_conditioning(self, texts: Texts, copies: int, guided: bool) -> dict[str, Array]:
        """Encode the texts for n pictures each, the unconditional rows first."""
        found = texts.states or self.encode_prompt(texts.prompts)
        rows = [found]
        if guided:
            if texts.negative_states is not None:
                negative = _fitted(texts.negative_states, found[0].shape[1])
            elif texts.negatives is not None:
                negative = _fitted(self._encode(texts.negatives), found[0].shape[1])
            else:
                negative = np.zeros_like(found[0]), np.zeros_like(found[1])
            rows = [negative, found]
        names = ("text_encoder_hidden_states", "attention_mask")
        return {
            name: np.concatenate([np.repeat(row[part], copies, axis=0) for row in rows])
            for part, name in enumerate(names)
        }

    def _encode_text(self, text: str) -> tuple[FloatArray, Array]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        ids, mask = self.tokenizer([text])
        states = self.text_encoder.encode(ids, mask)
        require_finite(states, "the text encoder", self.text_encoder.dtype)
        return states * mask[..., None], mask

    def _loop_guidance(self, plan: DecoderPlan) -> float:
        return plan.guidance_scale + 1 if plan.guided else 1.0

    def _count(self, texts: Texts, num_images_per_prompt: Any) -> tuple[int, int]:
        """Return the number of pictures, and that of one prompt."""
        copies = positive_int("num_images_per_prompt", num_images_per_prompt)
        return texts.count * copies, copies


def _fitted(found: tuple[FloatArray, Array], length: int) -> tuple[FloatArray, Array]:
    """Cut or pad states and mask to the length of the prompt's."""
    states, mask = (array[:, :length] for array in found)
    missing = length - states.shape[1]
    return (
        np.pad(states, ((0, 0), (0, missing), (0, 0))),
        np.pad(mask, ((0, 0), (0, missing))),
    )
