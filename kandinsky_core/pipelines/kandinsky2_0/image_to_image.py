"""Kandinsky 2.0: from prompts and a picture to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kandinsky_core.pipelines.kandinsky2_0.decoder import Kandinsky20Decoder
from kandinsky_core.pipelines.shared.call_options import Callback
from kandinsky_core.pipelines.shared.image_to_image import Img2ImgDecoder
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.requests import DecoderRequest
from kandinsky_core.texts.prompts import Prompts

__all__ = ["Kandinsky20Img2ImgPipeline"]


class Kandinsky20Img2ImgPipeline(Kandinsky20Decoder, Img2ImgDecoder):
    """Image to image: the last part of the denoising, begun from a noised picture.

    Source: `generate_img2img` of the original code. There `strength` is the share of the picture
    that is kept; here, as in other families, it is the share of noise, 1 less that one. The
    original makes one picture of 512 x 512; here any size and number will do.
    """

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 100,
        strength: float = 0.3,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> DecoderRequest:
        """Check a request for pictures that begin with a picture.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            image: The picture to start from, in the forms that every call takes, or scaled latents
                [N, C, h, w].
        """
        plan = self.plan(height, width, num_inference_steps, guidance_scale, output_type, strength)
        options = self.call_options(
            callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
        )
        return self._request(
            plan,
            options,
            generator=generator,
            seed=seed,
            pixels=self.check_image(image, plan),
            **self.texts_and_count(prompt, negative_prompt, num_images_per_prompt),
        )

    __call__ = prepared_call(prepare)
