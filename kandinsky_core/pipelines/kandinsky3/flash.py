"""Kandinsky 3.1 Flash: from prompts to pictures in four steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.denoising.noise import draw_normal
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.kandinsky3.verified_parts import FlashParts
from kandinsky_core.pipelines.shared.call_options import Callback
from kandinsky_core.pipelines.shared.decoder import DecoderInputs
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import positive_int

__all__ = ["Kandinsky3FlashPipeline"]


class Kandinsky3FlashPipeline(Kandinsky3Decoder):
    """Text to image with the distilled weights of Kandinsky 3.1, without guidance.

    Source: `get_T2I_Flash_pipeline` of ai-forever/Kandinsky-3; diffusers has none. Its UNet has the
    names and shapes of the usual one, so only their origin tells them apart.
    """

    part: ClassVar[str] = "flash"
    verified: ClassVar[type[VerifiedParts]] = FlashParts

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts | None = None,
        num_inference_steps: int = 4,
        guidance_scale: float = 1.0,
        negative_prompt: None = None,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
        generator: Any = None,
        prompt_embeds: Array | None = None,
        attention_mask: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        latents: Array | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        beautify: Any = None,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures of prompts.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            num_inference_steps: 4, for which the weights were distilled.
            guidance_scale: 1 or less, because the weights were trained to do without guidance.
            negative_prompt: None, because it has no effect without guidance.
            height: Height in pixels, any; None is 1024.
        """
        height, width = self._size(height, width)
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        options = self.call_options(
            callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
        )
        texts = self.check_texts(
            prompt,
            negative_prompt,
            beautify,
            prompt_embeds=prompt_embeds,
            attention_mask=attention_mask,
        )
        if plan.guided or texts.negatives is not None:
            raise InvalidInputError(
                f"guidance_scale={guidance_scale!r}, negative_prompt={texts.negatives!r}: Flash "
                "runs without guidance; leave them out, or take Kandinsky3Pipeline"
            )
        count = texts.count * positive_int("num_images_per_prompt", num_images_per_prompt)
        return self._request(plan, options, count, generator, seed, latents=latents, texts=texts)

    __call__ = prepared_call(prepare)

    def _inputs(self, request: DecoderRequest, conditioning: dict[str, Array]) -> DecoderInputs:
        """Add noise to the initial noise once more, for the first step.

        Each step predicts the clean sample, which is noised anew for the next step. So noise is
        drawn once for `latents`, before the first step, and once for each step.
        """
        noise = self._noise(request)
        again = draw_normal(request.source.generators, noise.shape)
        return DecoderInputs(
            sample=request.plan.schedule.noised(noise, again), conditioning=conditioning
        )
