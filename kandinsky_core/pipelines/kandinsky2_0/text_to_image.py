"""Kandinsky 2.0: from prompts to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_0.decoder import Kandinsky20Decoder
from kandinsky_core.pipelines.shared.call_options import Callback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts

__all__ = ["Kandinsky20Pipeline"]


class Kandinsky20Pipeline(Kandinsky20Decoder):
    """Text to image in many languages, with two text encoders and no prior.

    Source: `generate_text2img` of the original code; diffusers has no such pipeline.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures of prompts.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
        )
        return self._request(
            plan,
            options,
            generator=generator,
            seed=seed,
            latents=latents,
            **self.texts_and_count(prompt, negative_prompt, num_images_per_prompt),
        )

    __call__ = prepared_call(prepare)
