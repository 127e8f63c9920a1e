"""Kandinsky 2.2: repainting the masked part of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder, seeded
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.inpainting import InpaintDecoder
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["KandinskyV22InpaintPipeline"]


class KandinskyV22InpaintPipeline(EmbeddingDecoder, InpaintDecoder):
    """Inpainting: white pixels of the mask are repainted, black ones kept.

    Source: diffusers' pipeline of the same name, whose mask has this meaning since 0.19.
    Differences: each picture of a batch keeps its own pixels (the reference blends all with the
    first), the mask that is passed in stays as it was, any size of picture and mask is resized to
    the size asked for, and embeddings are repeated for several pictures with guidance off too.
    """

    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "image_embeds",
        "image_latents",
    )

    def __call__(
        self,
        image_embeds: Array | Sequence[Array],
        image: Any,
        mask_image: Any,
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
        paste_back: bool = False,
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures.

        Args:
            image_embeds: From the prior: [E, D], or a list of such.
            image: What to repaint: a picture, a list of E, or a batch (see
                `kandinsky_core.pictures.inputs`), resized to `height` and `width`.
            mask_image: White where to repaint: a mask, a list of E, or a batch (see
                `image_inputs.as_masks`), resized likewise. The repainted region grows by the
                neighbours of its latent cells, as in the reference.
            negative_image_embeds: As `image_embeds`; needed when `guidance_scale` > 1.
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
            paste_back: Put the kept pixels into the finished picture exactly as they were. Without
                it they pass through MoVQ, which changes them a little.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range, or the mask leaves
                nothing to repaint.
            NonFiniteError: A network gave NaN or infinity.
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        self.check_paste_back(paste_back, plan)
        pixels, masks = self.check_image(image, plan), self.check_mask(mask_image, plan)
        embeds = self._embeds(
            image_embeds, negative_image_embeds, num_images_per_prompt, plan.guided
        )
        source, count = seeded(generator, seed, embeds, plan.guided)
        noise, facts = self._noise(source, latents, plan, count)
        inputs = self._inpaint_inputs(
            plan,
            pixels,
            masks,
            noise,
            {"image_embeds": embeds},
            blend=True,
            paste_back=paste_back,
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
