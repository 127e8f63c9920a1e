"""Kandinsky 2.2: repainting the masked part of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.inpainting import InpaintDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest

__all__ = ["KandinskyV22InpaintPipeline"]


class KandinskyV22InpaintPipeline(EmbeddingDecoder, InpaintDecoder):
    """Inpainting: white pixels of the mask are repainted, and black ones are kept.

    Source: diffusers' pipeline of the same name, whose mask has this meaning since 0.19.
    Differences: each picture of a batch keeps its own pixels (the reference blends all with the
    first), the mask that is passed in stays as it was, any size of picture and mask is resized to
    the size asked for, and embeddings are repeated for several pictures with guidance off too.
    """

    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *EmbeddingDecoder.callback_tensor_inputs,
        "masked_image",
        "mask_image",
        "image_latents",
    )
    callback_views: ClassVar[Mapping[str, View]] = {
        **EmbeddingDecoder.callback_views,
        **InpaintDecoder.callback_views,
    }
    blends: ClassVar[bool] = True

    def prepare(
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
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        paste_back: bool = False,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that are repainted in part.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            mask_image: The mask, in the forms that every call takes. The repainted region grows by
                the neighbours of its latent cells, as in the reference.
            paste_back: Put the kept pixels back exactly. Without it they pass through MoVQ, which
                changes them a little.
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
            **self.check_inpainting(image, mask_image, paste_back, plan),
        )

    __call__ = prepared_call(prepare)
