"""What the pipelines of Kandinsky 2.0 share: two encoders of texts, and sampled, scaled latents.

Guidance, plan, masks and the loop are those of all families; the prompt is read as in 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.denoising.loop import require_finite
from kandinsky_core.denoising.noise import draw_normal
from kandinsky_core.errors import ConfigError
from kandinsky_core.pipelines.kandinsky2_0.verified_parts import Kandinsky20Parts
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline, first_step
from kandinsky_core.pipelines.shared.encoded_texts import encoded_texts
from kandinsky_core.pipelines.shared.known_tokens import known_tokens
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.pipelines.shared.rows import one_for_each
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.schedulers import Kandinsky20Scheduler, Schedule, Scheduler
from kandinsky_core.seam.networks import (
    Autoencoder,
    Denoiser,
    MultilingualTextEncoder,
    T5TextEncoder,
)
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.texts.t5_tokenizer import MT5Tokenizer, T5Tokenizer
from kandinsky_core.validation import positive_int

__all__ = ["Kandinsky20Decoder"]

_STATES = ("text_embeds", "text_encoder_hidden_states", "text_encoder_hidden_states_2")
_LOG_VARIANCES = (-30.0, 20.0)


class Kandinsky20Decoder(DecoderPipeline):
    """Base of the pipelines of Kandinsky 2.0.

    Source: ai-forever/Kandinsky-2, `kandinsky2/kandinsky2_model.py`. Differences for all tasks:
    several prompts and pictures, and a negative prompt, which the original lacks; its unconditional
    text is always empty.
    """

    component_names: ClassVar[tuple[str, ...]] = (
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "unet",
        "scheduler",
        "vae",
    )
    autoencoder_name: ClassVar[str] = "vae"
    verified: ClassVar[type[VerifiedParts]] = Kandinsky20Parts
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", *_STATES)
    callback_views: ClassVar[Mapping[str, View]] = {}

    def __init__(
        self,
        text_encoder: MultilingualTextEncoder,
        tokenizer: XLMRobertaTokenizer,
        text_encoder_2: T5TextEncoder,
        tokenizer_2: MT5Tokenizer,
        unet: Denoiser,
        scheduler: Scheduler,
        vae: Autoencoder,
    ) -> None:
        self.vae: Autoencoder
        if isinstance(tokenizer_2, T5Tokenizer) and not isinstance(tokenizer_2, MT5Tokenizer):
            raise ConfigError(
                f"tokenizer_2 gives rows of {tokenizer_2.LENGTH} tokens, and Kandinsky 2.0 was "
                f"trained with {MT5Tokenizer.LENGTH}: load it as MT5Tokenizer"
            )
        super().__init__(
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            movq=vae,
        )
        self.text_encoder: MultilingualTextEncoder
        self.tokenizer: XLMRobertaTokenizer
        self.text_encoder_2: T5TextEncoder
        self.tokenizer_2: MT5Tokenizer

    @property
    def movq(self) -> Autoencoder:
        """The autoencoder under the name that it has in other families."""
        return self.vae

    @movq.setter
    def movq(self, value: Autoencoder) -> None:
        self.vae = value

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse a UNet that was trained for another task or family.

        Raises:
            ConfigError: The UNet is for another task or family; the message says for which.
        """
        unet = configs.get("unet")
        if unet is None:
            return
        if getattr(unet, "family", None) != "2.0":
            raise ConfigError(
                f"{cls.__name__} needs the UNet of Kandinsky 2.0: load its checkpoint"
            )
        if unet.kind != cls.kind:
            raise ConfigError(
                f"{cls.__name__} does not fit a UNet with {unet.in_channels} input channels: "
                "4 are for pictures from text and from pictures, 9 for inpainting"
            )

    def texts_and_count(self, prompt: Any, negative_prompt: Any, copies: Any) -> dict[str, Any]:
        """Check the texts, and return the fields of a request that hold them and their number.

        Raises:
            InvalidInputError: A prompt is no text, the numbers of prompts differ, or `copies` is no
                number of pictures.
        """
        prompts = Prompts.check(prompt, negative_prompt)
        count = len(prompts) * positive_int("num_images_per_prompt", copies)
        return {"texts": prompts, "count": count}

    def _schedule(self, steps: int, strength: float | None) -> Schedule:
        scheduler = self.scheduler
        if strength is None or not isinstance(scheduler, Kandinsky20Scheduler):
            return super()._schedule(steps, strength)
        first_step(strength, steps)  # checks the strength
        return scheduler.schedule_from(steps, strength)

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        return encoded_texts(request, self._encode_text, _STATES)

    def _encode_text(self, text: str) -> tuple[FloatArray, ...]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        tokens = known_tokens(self.tokenizer([text]), self.text_encoder)
        tokens_2 = known_tokens(self.tokenizer_2([text]), self.text_encoder_2)
        embeds, states = self.text_encoder.encode(*tokens)
        require_finite(embeds, "the text encoder", self.text_encoder.dtype)
        others = self.text_encoder_2.encode(*tokens_2)
        require_finite(others, "the second text encoder", self.text_encoder_2.dtype)
        return embeds, states, others

    def _texts_of_pictures(self, request: DecoderRequest) -> list[dict[str, Any]]:
        prompts: Prompts = request.texts
        negatives: Sequence[str | None] = prompts.negatives or [None] * len(prompts)
        return [
            {"prompt": prompt, "negative_prompt": negative}
            for prompt, negative in zip(prompts.texts, negatives, strict=True)
            for _ in range(request.count // len(prompts))
        ]

    def _latents(self, request: DecoderRequest) -> FloatArray:
        """Draw latents from the distribution that the encoder gives, and scale them.

        With one generator, a picture that several pictures start from is drawn once, as in the
        original. With a generator for each picture, each draws its own.
        """
        image, generators = request.pixels, request.source.generators
        assert image is not None
        if image.shape[1] == request.plan.latent_shape[0]:
            return image
        moments = self._encode_pixels(image)
        if not isinstance(generators, Generator):
            moments = one_for_each(moments, request.count)
        mean, log_variance = np.split(moments, 2, axis=1)
        deviation = np.exp(np.float32(0.5) * log_variance.clip(*_LOG_VARIANCES))
        sample = mean + deviation * draw_normal(generators, mean.shape)
        scaled: FloatArray = sample * self._scale
        return scaled

    def decode_latents(self, latents: FloatArray) -> FloatArray:
        """Decode latents [B, C, h, w] as the loop has them into pixels about -1 to 1."""
        return super().decode_latents(latents / self._scale)

    @property
    def _scale(self) -> np.float32:
        return np.float32(self.vae.config.scaling_factor)
