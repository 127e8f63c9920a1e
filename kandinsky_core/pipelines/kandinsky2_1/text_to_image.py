"""Kandinsky 2.1, second half: from a prompt and image embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_1.decoder import Kandinsky21Decoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts

__all__ = ["KandinskyPipeline"]


class KandinskyPipeline(Kandinsky21Decoder):
    """Latent diffusion decoder: a prompt and CLIP image embeddings in, pictures out.

    Source: diffusers' pipeline of the same name. Differences: the picture has the size asked for
    (the reference rounds up to a multiple of 64), and embeddings are repeated for several pictures
    with guidance off too.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
        image_embeds: Array | Sequence[Array],
        negative_image_embeds: Array | Sequence[Array] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        callback: OldCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures of a prompt and image embeddings.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of E, in any of the encoder's hundred languages.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
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
            latents=latents,
            embeds=embeds,
            texts=self.check_texts(prompt, negative_prompt, count),
        )

    __call__ = prepared_call(prepare)
