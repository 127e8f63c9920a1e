"""Kandinsky 2.2 with a hint, a depth map for example, that fixes the layout of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.pictures.inputs import as_hints, padded
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder, seeded
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.decoder import (
    DecoderInputs,
    DecoderPlan,
    doubled,
    one_for_each,
)
from kandinsky_core.pipelines.shared.image_to_image import Img2ImgDecoder
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["KandinskyV22ControlnetImg2ImgPipeline", "KandinskyV22ControlnetPipeline"]

# Pixels of a hint to a latent cell along a side, which three convolutions of stride 2 make.
_HINT_FACTOR = 8


class _HintDecoder(EmbeddingDecoder):
    """Base of the decoders that take a hint."""

    part: ClassVar[str] = "controlnet"
    kind: ClassVar[str] = "controlnet"
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "image_embeds", "hint")

    def check_hint(self, hint: Any, plan: DecoderPlan) -> FloatArray:
        """Return hints [N, 3, 8h, 8w] in [0, 1] for latents of h x w.

        A hint of another size is resized to that of the picture (times 8 over MoVQ's factor, which
        is 1 for the published models).

        Raises:
            InvalidInputError: It is no picture.
        """
        _, height, width = plan.latent_shape
        sides = [
            -(-side * _HINT_FACTOR // self.movq_scale_factor) for side in (plan.height, plan.width)
        ]
        hints = as_hints("hint", hint, *sides)
        return padded(hints, height * _HINT_FACTOR, width * _HINT_FACTOR)


class KandinskyV22ControlnetPipeline(_HintDecoder):
    """Text to image with a hint.

    Source: diffusers' pipeline of the same name. Differences: the hint may be a PIL picture or an
    array of any size, the picture has the size asked for, and embeddings and hints are repeated
    for several pictures with guidance off too.
    """

    def __call__(
        self,
        image_embeds: Array | Sequence[Array],
        negative_image_embeds: Array | Sequence[Array] | None = None,
        hint: Any = None,
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
            hint: What fixes the layout: a picture, a list of E, or a batch of floats from 0 to 1
                (see `kandinsky_core.pictures.inputs`), resized to `height` and `width`.
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
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        hints = self.check_hint(hint, plan)
        embeds = self._embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan.guided
        )
        source, count = seeded(generator, seed, embeds, plan.guided)
        noise, facts = self._noise(source, latents, plan, count)
        inputs = DecoderInputs(
            sample=noise * np.float32(plan.schedule.init_noise_sigma),
            conditioning={
                "image_embeds": embeds,
                "hint": doubled(one_for_each("hint", hints, count), plan.guided),
            },
            facts={"hint": "given", **facts},
        )
        return self._pictures(
            plan,
            source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )


class KandinskyV22ControlnetImg2ImgPipeline(_HintDecoder, Img2ImgDecoder):
    """Image to image with a hint.

    Source: diffusers' pipeline of the same name. Differences: those of
    `KandinskyV22Img2ImgPipeline` and of `KandinskyV22ControlnetPipeline`.
    """

    def __call__(
        self,
        image_embeds: Array | Sequence[Array],
        image: Any,
        negative_image_embeds: Array | Sequence[Array] | None = None,
        hint: Any = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        strength: float = 0.3,
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
            image_embeds: From the prior: [E, D], or a list of such.
            image: Where to start from, as for `KandinskyV22Img2ImgPipeline`.
            negative_image_embeds: As `image_embeds`; needed when `guidance_scale` > 1.
            hint: What fixes the layout, as for `KandinskyV22ControlnetPipeline`.
            height: Height in pixels, any; None takes the model's own (512 for the published ones).
            width: Width in pixels.
            num_inference_steps: Steps of the whole loop; `strength` of them are taken.
            guidance_scale: Classifier-free guidance; off at 1 and below.
            strength: How far the picture is noised, above 0 and up to 1.
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
        pixels, hints = self.check_image(image, plan), self.check_hint(hint, plan)
        embeds = self._embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan.guided
        )
        source, count = seeded(generator, seed, embeds, plan.guided)
        inputs = DecoderInputs(
            sample=self._start(pixels, plan, source, count),
            conditioning={
                "image_embeds": embeds,
                "hint": doubled(one_for_each("hint", hints, count), plan.guided),
            },
            facts={"image": "given", "hint": "given"},
        )
        return self._pictures(
            plan,
            source,
            inputs,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            return_dict,
        )
