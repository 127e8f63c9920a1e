"""Kandinsky 2.2, second half: from image embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder, seeded
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.decoder import DecoderInputs
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["KandinskyV22Pipeline"]


class KandinskyV22Pipeline(EmbeddingDecoder):
    """Latent diffusion decoder: CLIP image embeddings in, pictures out.

    Source: diffusers' pipeline of the same name. Differences: the picture has the size asked for
    (the reference rounds up to a multiple of 64), and embeddings are repeated for several pictures
    with guidance off too.
    """

    def __call__(
        self,
        image_embeds: Array | Sequence[Array],
        negative_image_embeds: Array | Sequence[Array] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            image_embeds: From the prior: [E, D], or a list of such.
            negative_image_embeds: Likewise; needed when `guidance_scale` > 1.
            height: Height in pixels, any; None takes the model's own (512 for the published ones).
            width: Width in pixels.
            num_inference_steps: Steps of the UNet.
            guidance_scale: Classifier-free guidance; off at 1 and below.
            num_images_per_prompt: n; the result has B = E * n pictures.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            latents: Initial noise [B, C, h, w]; drawn when None.
            output_type: `pil`, `np` (float32 [B, height, width, 3] in [0, 1]), or `latent`.
            return_dict: False returns a plain tuple.
            callback_on_step_end: Called as `callback(pipe, step, timestep, values)`; what it
                returns replaces the values.
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets. In
                `image_embeds` the unconditional rows come first when guidance is on.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        embeds = self._embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan.guided
        )
        source, count = seeded(generator, seed, embeds, plan.guided)
        noise, facts = self._noise(source, latents, plan, count)
        inputs = DecoderInputs(
            sample=noise * np.float32(plan.schedule.init_noise_sigma),
            conditioning={"image_embeds": embeds},
            facts=facts,
        )
        return self._pictures(
            plan,
            source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )
