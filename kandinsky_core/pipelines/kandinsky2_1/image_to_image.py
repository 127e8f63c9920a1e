"""Kandinsky 2.1, second half: from a prompt, a picture and image embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.noise import draw_normal
from kandinsky_core.pipelines.kandinsky2_1.decoder import Kandinsky21Decoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.image_to_image import Img2ImgDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.schedulers import DDPMScheduler
from kandinsky_core.texts.prompts import Prompts

__all__ = ["KandinskyImg2ImgPipeline"]


class KandinskyImg2ImgPipeline(Kandinsky21Decoder, Img2ImgDecoder):
    """Image to image: the last part of the denoising, begun from a noised picture.

    Source: diffusers' pipeline of the same name. As there and in the original repository, the
    picture is noised by other betas than the scheduler's. Differences: the picture has the size
    asked for (the reference fails for sizes that are not square multiples of 64), `image` may be
    latents, and embeddings are repeated for several pictures with guidance off too.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
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
        callback: OldCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that begin with a picture.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of E, in any of the encoder's hundred languages.
            image: The picture to start from, in the forms that every call takes, or latents
                [N, C, h, w] as MoVQ encodes them.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type, strength)
        options = self.call_options(
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
            callback,
            callback_steps,
        )
        embeds, count = self.check_embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan
        )
        return self._request(
            plan,
            options,
            count,
            generator,
            seed,
            embeds=embeds,
            texts=self.check_texts(prompt, negative_prompt, count),
            pixels=self.check_image(image, plan),
        )

    __call__ = prepared_call(prepare)

    def _start(self, request: DecoderRequest) -> FloatArray:
        """Encode the pictures and noise them, by the betas of the original code."""
        assert request.plan.strength is not None
        latents = self._image_latents(request)
        trained = int(self.scheduler.config["num_train_timesteps"])
        noising = DDPMScheduler(num_train_timesteps=trained)  # linear from 1e-4 to 0.02
        timestep = max(int(trained * request.plan.strength) - 2, 0)
        noise = draw_normal(request.source.generators, latents.shape)
        noised: FloatArray = noising.add_noise(latents, noise, timestep)
        return noised
