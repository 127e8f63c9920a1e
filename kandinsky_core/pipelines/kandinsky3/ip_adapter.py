"""Kandinsky 3 with an IP-Adapter, called as in ai-forever/kandinsky3-diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky3.image_prompt_decoder import ImagePromptDecoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import positive_int

__all__ = ["KandinskyV3PipelineIpAdapter"]


class KandinskyV3PipelineIpAdapter(ImagePromptDecoder):
    """Text and pictures to image, by the names and defaults of the authors' fork of diffusers.

    `Kandinsky3Pipeline` makes the same pictures by the names of diffusers. Differences from the
    fork: one picture needs no list, weights may be left out, guidance may be off, several prompts
    have right masks, and `height` and `width` have defaults.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts | None = None,
        weights: Sequence[float] | None = None,
        img: Any = None,
        num_inference_steps: int = 100,
        timesteps: None = None,
        guidance_scale: float = 7.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
        eta: float = 0.0,
        generator: Any = None,
        prompt_embeds: Array | None = None,
        negative_prompt_embeds: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        latents: Array | None = None,
        cut_context: bool = False,
        img_weight: float = 1,
        *,
        attention_mask: Array | None = None,
        negative_attention_mask: Array | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures of prompts and pictures.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            weights: One weight for each picture, not normalised; None gives each the same share.
            img: The pictures that the result is to resemble: one, or a list, which is mixed. None
                leaves the text alone.
            timesteps: None; the fork never reads it.
            guidance_scale: Weight w in (w + 1) conditional - w unconditional; off at 1 and below.
            height: Height in pixels, any; None is 1024.
            eta: Has no effect, as in the fork.
            cut_context: Whether the UNet sees only one token more than the longest prompt has. Else
                it sees all 128, padding included.
            img_weight: How much the pictures count beside the text; 0 leaves the text alone.
        """
        if timesteps is not None:
            raise InvalidInputError("timesteps: the scheduler chooses them; leave it out")
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
            callback,
            callback_steps,
        )
        texts = self.check_texts(
            prompt,
            negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            attention_mask=attention_mask,
            negative_attention_mask=negative_attention_mask,
        )
        return self._request(
            plan,
            options,
            texts.count * positive_int("num_images_per_prompt", num_images_per_prompt),
            generator,
            seed,
            latents=latents,
            texts=replace(texts, cut=bool(cut_context)),
            image_prompt=self.check_image_prompt(plan, img, None, weights, img_weight),
        )

    __call__ = prepared_call(prepare)
