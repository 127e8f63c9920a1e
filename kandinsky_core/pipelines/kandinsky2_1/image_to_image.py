"""Kandinsky 2.1, second half: from a prompt, a picture and image embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.noise import SeededGenerators, draw_normal
from kandinsky_core.pipelines.kandinsky2_1.decoder import Kandinsky21Decoder
from kandinsky_core.pipelines.kandinsky2_2.decoder import seeded
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.decoder import DecoderInputs, DecoderPlan, one_for_each
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.schedulers import DDPMScheduler

__all__ = ["KandinskyImg2ImgPipeline"]


class KandinskyImg2ImgPipeline(Kandinsky21Decoder):
    """Image to image: the last part of the denoising, begun from a noised picture.

    Source: diffusers' pipeline of the same name, and like it noises the picture by other betas
    than the scheduler's, as the original repository does. Differences: the picture has the size
    asked for (the reference fails for sizes that are not square multiples of 64), latents are
    taken, and embeddings are repeated for several pictures with guidance off too.
    """

    def __call__(
        self,
        prompt: str | Sequence[str],
        image: Any,
        image_embeds: Array | Sequence[Array],
        negative_image_embeds: Array | Sequence[Array] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        strength: float = 0.3,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            prompt: One prompt or a list of E, in any of the encoder's hundred languages.
            image: Where to start from: a picture, a list of E, or a batch (see
                `kandinsky_core.pictures.inputs`), resized to `height` and `width`; or latents
                [N, C, h, w] as MoVQ encodes them.
            image_embeds: From the prior: [E, D], or a list of such.
            negative_image_embeds: Likewise; needed when `guidance_scale` > 1.
            negative_prompt: What the picture shall not be: one text for all or one for each.
            height: Height in pixels, any; None takes the model's own (512 for the published ones).
            width: Width in pixels.
            num_inference_steps: Steps of the whole loop; `strength` of them are taken.
            strength: How far the picture is noised, above 0 and up to 1.
            guidance_scale: Classifier-free guidance; off at 1 and below.
            num_images_per_prompt: n; the result has B = E * n pictures.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            output_type: `pil`, `np` (float32 [B, height, width, 3] in [0, 1]), or `latent`.
            return_dict: False returns a plain tuple.
            callback_on_step_end: Called as `callback(pipe, step, timestep, values)`; what it
                returns replaces the values.
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type, strength)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        texts = self.check_texts(prompt, negative_prompt)
        pixels = self.check_image(image, plan)
        embeds = self._embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan.guided
        )
        source, count = seeded(generator, seed, embeds, plan.guided)
        conditioning = {
            "image_embeds": embeds,
            **self._text_conditioning(texts, count, plan.guided),
        }
        inputs = DecoderInputs(
            sample=self._start(pixels, plan, source, count),
            conditioning=conditioning,
            facts={"image": "given"},
        )
        return self._pictures(
            plan,
            source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )

    def _start(
        self, image: FloatArray, plan: DecoderPlan, source: SeededGenerators, count: int
    ) -> FloatArray:
        """Encode pictures of `check_image` and noise them, by the betas of the original code."""
        assert plan.strength is not None
        latents = one_for_each("image", self._latents(image, plan), count)
        trained = int(self.scheduler.config["num_train_timesteps"])
        noising = DDPMScheduler(num_train_timesteps=trained)  # linear from 1e-4 to 0.02
        timestep = max(int(trained * plan.strength) - 2, 0)
        return noising.add_noise(latents, draw_normal(source.generators, latents.shape), timestep)
