"""Kandinsky 2.2 in one call: prompt to picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.text_to_image import KandinskyV22Pipeline
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline, CombinedRequest
from kandinsky_core.pipelines.shared.base import Callback
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["KandinskyV22CombinedPipeline"]


class KandinskyV22CombinedPipeline(CombinedPipeline):
    """Text to image in one call; what `AutoPipelineForText2Image` builds for 2.2."""

    decoder_class: ClassVar[type[EmbeddingDecoder]] = KandinskyV22Pipeline

    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
        prior_guidance_scale: float = 4.0,
        prior_num_inference_steps: int = 25,
        generator: Any = None,
        latents: Array | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        prior_callback_on_step_end: Callback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        decoder_negative_prompt: str | Sequence[str] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make pictures of prompts.

        Args:
            prompt: One prompt or a list of P.
            negative_prompt: What the pictures shall not be; it goes to the prior.
            num_inference_steps: Steps of the decoder.
            guidance_scale: Guidance of the decoder; off at 1 and below.
            num_images_per_prompt: n; the result has B = P * n pictures.
            height: Height in pixels, any; None takes the model's own.
            width: Width in pixels.
            prior_guidance_scale: Guidance of the prior.
            prior_num_inference_steps: Steps of the prior.
            generator: `Generator`, int, or a list of B of them, one for each picture. It serves
                the prior first and runs on in the decoder.
            latents: Initial noise of the prior [B, D].
            output_type: `pil`, `np` or `latent`.
            return_dict: False returns a plain tuple.
            prior_callback_on_step_end: Callback of the prior's steps.
            prior_callback_on_step_end_tensor_inputs: Its values.
            callback_on_step_end: Callback of the decoder's steps.
            callback_on_step_end_tensor_inputs: Its values.
            decoder_negative_prompt: For decoders that read texts (Kandinsky 2.1); the reference
                never passes one, which is the default.
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        request = CombinedRequest.check(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            prior_num_inference_steps,
            prior_guidance_scale,
            latents,
            decoder_negative_prompt,
            generator,
            seed,
        )
        texts = self._decoder_texts(request)
        # A request that the decoder would refuse is refused before the prior runs.
        self.decoder_pipe.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.decoder_pipe.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        decode = partial(
            self.decoder_pipe,
            **texts,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
        )
        return self._make(
            request,
            decode,
            prior_callback_on_step_end,
            prior_callback_on_step_end_tensor_inputs,
            return_dict,
        )
