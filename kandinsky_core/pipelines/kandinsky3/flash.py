"""Kandinsky 3.1 Flash: from prompts to pictures in four steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.denoising.noise import draw_normal
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.decoder import DecoderInputs
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["Kandinsky3FlashPipeline"]


class Kandinsky3FlashPipeline(Kandinsky3Decoder):
    """Text to image with the distilled weights of Kandinsky 3.1, without guidance.

    Source: `get_T2I_Flash_pipeline` of ai-forever/Kandinsky-3; diffusers has none. Its UNet has the
    names and shapes of the usual one, so that nothing tells them apart but where they come from.
    """

    part: ClassVar[str] = "flash"

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
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
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Each step predicts the clean sample, which is then noised anew for the next one; so noise is
        drawn once before the first step, for `latents`, and once for each step.

        Args:
            prompt: One prompt or a list of P; None where `prompt_embeds` is given.
            num_inference_steps: 4.
            guidance_scale: 1 or less: the weights were trained to do without guidance.
            negative_prompt: None: without guidance it has no effect.
            num_images_per_prompt: n; the result has B = P * n pictures.
            height: Height in pixels, any; None is 1024.
            width: Width in pixels.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            prompt_embeds: States of the prompts [P, L, H], as `encode_prompt` gives them.
            attention_mask: Mask of `prompt_embeds` [P, L].
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
        if plan.guided or negative_prompt is not None:
            raise InvalidInputError(
                f"guidance_scale={guidance_scale!r}, negative_prompt={negative_prompt!r}: Flash "
                "runs without guidance; leave them out, or take Kandinsky3Pipeline"
            )
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        texts = self.check_texts(
            prompt,
            beautify=beautify,
            prompt_embeds=prompt_embeds,
            attention_mask=attention_mask,
        )
        run = self._begin(texts, plan, num_images_per_prompt, generator, seed)
        noise, facts = self._noise(run.source, latents, plan, run.count)
        inputs = DecoderInputs(
            sample=plan.schedule.noised(noise, draw_normal(run.source.generators, noise.shape)),
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
