"""What `kandinsky verify` compares of models with a prior and a decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.pipelines.shared.requests import DecoderPlan
from kandinsky_core.pipelines.shared.verified_parts import GUIDANCE, Inputs, VerifiedParts
from kandinsky_core.verification import one_step

__all__ = ["HalvesParts"]

_PRIOR_STEPS = 10


class HalvesParts(VerifiedParts):
    """The components of both halves of Kandinsky 2.2; embeddings of pictures are random numbers."""

    def call(self, prompt: str, height: int | None, width: int | None, steps: int) -> Any:
        """See `VerifiedParts.call`."""
        found = super().call(prompt, height, width, steps)
        return {**found, "prior_num_inference_steps": _PRIOR_STEPS}

    def encoders(self, call: Mapping[str, Any], generator: Generator) -> Inputs:
        """See `VerifiedParts.encoders`; the prior runs before the UNet too."""
        prior = self.pipeline.prior_pipe
        texts = [prior.tokenizer([text]) for text in ("", call["prompt"])]
        encoded = [prior.text_encoder.encode(ids) for ids, _ in texts]
        size = prior.image_encoder.config.image_size
        conditioning = {
            "prompt_embeds": np.concatenate([embeds for embeds, _ in encoded]),
            "text_encoder_hidden_states": np.concatenate([hidden for _, hidden in encoded]),
            "text_mask": np.concatenate([mask for _, mask in texts]),
        }
        pixels = generator.randn((1, 3, size, size))
        embedding = generator.randn((1, prior.prior.config.embedding_dim))
        return {
            "text_encoder": (texts[1][0],),
            "image_encoder": (pixels,),
            "prior": (embedding, conditioning, GUIDANCE),
        }

    def conditioning(
        self, call: Mapping[str, Any], plan: DecoderPlan, generator: Generator
    ) -> tuple[Mapping[str, Array], float]:
        """See `VerifiedParts.conditioning`."""
        decoder = self.decoder
        embeds = generator.randn((2, decoder.unet.config.image_embed_dim))
        request = decoder.prepare(
            **self.texts(call),
            image_embeds=embeds[1:],
            negative_image_embeds=embeds[:1],
            height=plan.height,
            width=plan.width,
            guidance_scale=GUIDANCE,
        )
        return decoder._conditioning(request), GUIDANCE

    def texts(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the decoder's call that are texts."""
        return {}

    def runs(self) -> dict[str, Callable[..., Any]]:
        """See `VerifiedParts.runs`."""
        prior = self.pipeline.prior_pipe
        return {
            "text_encoder": prior.text_encoder.encode,
            "image_encoder": prior.image_encoder.encode,
            "prior": partial(one_step, prior.prior),
            **super().runs(),
        }
