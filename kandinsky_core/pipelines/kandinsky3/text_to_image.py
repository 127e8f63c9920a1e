"""Kandinsky 3: from prompts to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.decoder import DecoderInputs
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["Kandinsky3Pipeline"]


class Kandinsky3Pipeline(Kandinsky3Decoder):
    """Text to image with T5's states and no prior.

    Source: diffusers' pipeline of the same name. Differences: the picture has the size asked for,
    masks are repeated as the states are for several prompts with several pictures each, and one
    negative prompt may stand for all. With ai-forever's own weights texts are theirs too: see
    `text_convention`.
    """

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        num_inference_steps: int = 25,
        guidance_scale: float = 3.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
        generator: Any = None,
        prompt_embeds: Array | None = None,
        negative_prompt_embeds: Array | None = None,
        attention_mask: Array | None = None,
        negative_attention_mask: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        latents: Array | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        beautify: Any = None,
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            num_inference_steps: Steps of the UNet.
            guidance_scale: w in (w + 1) conditional - w unconditional; off at 1 and below.
            negative_prompt: What the picture shall not be: one text for all or one for each.
            num_images_per_prompt: n; the result has B = P * n pictures.
            height: Height in pixels, any; None is 1024.
            width: Width in pixels.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            prompt_embeds: States of the prompts [P, L, H], as `encode_prompt` gives them.
            negative_prompt_embeds: Likewise of the negative prompts.
            attention_mask: Mask of `prompt_embeds` [P, L].
            negative_attention_mask: Mask of `negative_prompt_embeds`.
            output_type: `pil`, `np` (float32 [B, height, width, 3] in [0, 1]), or `latent`.
            return_dict: False returns a plain tuple.
            latents: Initial noise [B, C, h, w]; drawn when None.
            callback_on_step_end: Called as `callback(pipe, step, timestep, values)`; what it
                returns replaces the values.
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets.
            beautify: Expands each prompt first: True takes neural-chat-7b-v3-1, a text another
                language model (hub id or folder), or a callable of a text; see
                `kandinsky_core.PromptBeautifier`, of which one is made once for many calls.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        texts = self.check_texts(
            prompt,
            negative_prompt,
            beautify,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            attention_mask=attention_mask,
            negative_attention_mask=negative_attention_mask,
        )
        run = self._begin(texts, plan, num_images_per_prompt, generator, seed)
        noise, facts = self._noise(run.source, latents, plan, run.count)
        inputs = DecoderInputs(
            sample=noise * np.float32(plan.schedule.init_noise_sigma),
            conditioning=run.conditioning,
            facts=facts,
            own_facts=run.facts,
        )
        return self._pictures(
            plan,
            run.source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )
