"""Kandinsky 2.1, second half: repainting the masked part of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_1.decoder import Kandinsky21Decoder
from kandinsky_core.pipelines.shared.call_options import Callback, OldCallback
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.inpainting import InpaintDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts

__all__ = ["KandinskyInpaintPipeline"]


class KandinskyInpaintPipeline(Kandinsky21Decoder, InpaintDecoder):
    """Inpainting: white pixels of the mask are repainted, and black ones are kept.

    Source: diffusers' pipeline of the same name. As there, the UNet only sees the kept
    part, and no step puts it back. So it changes a little; `paste_back` keeps it exactly.
    Differences: any size of picture and mask is resized to the size asked for, the mask that is
    passed in stays as it was, and embeddings are repeated with guidance off too.
    """

    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *Kandinsky21Decoder.callback_tensor_inputs,
        "masked_image",
        "mask_image",
        "image_latents",
    )
    callback_views: ClassVar[Mapping[str, View]] = {
        **Kandinsky21Decoder.callback_views,
        **InpaintDecoder.callback_views,
    }

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        mask_image: Any,
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
        paste_back: bool = False,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that are repainted in part.

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
            **self.check_inpainting(image, mask_image, paste_back, plan),
        )

    __call__ = prepared_call(prepare)
