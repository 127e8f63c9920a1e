"""Kandinsky 2.2: from a picture and image embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder, EmbedsToCome
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.image_to_image import Img2ImgDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest

__all__ = ["KandinskyV22Img2ImgPipeline"]


class KandinskyV22Img2ImgPipeline(EmbeddingDecoder, Img2ImgDecoder):
    """Image to image: the last part of the denoising, begun from a noised picture.

    Source: diffusers' pipeline of the same name. Differences: the picture has the size asked for
    (the reference takes height for width since 0.34, and rounds down to multiples of 8), latents
    are taken as the documentation there says, and embeddings are repeated for several pictures
    with guidance off too.
    """

    def prepare(
        self,
        image_embeds: Array | Sequence[Array],
        image: Any,
        negative_image_embeds: Array | Sequence[Array] | None = None,
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
        callback: OldCallback | None = None,
        callback_steps: int | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that begin with a picture.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
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
            pixels=self.check_image(image, plan),
            one_start=num_images_per_prompt == 1 and not isinstance(image_embeds, EmbedsToCome),
        )

    __call__ = prepared_call(prepare)
