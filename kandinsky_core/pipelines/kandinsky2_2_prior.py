"""Kandinsky 2.2, first half: from prompts to image embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.denoise import denoise, require_finite
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.interfaces import Array, FloatArray, ImageEncoder, PriorDenoiser, TextEncoder
from kandinsky_core.noise import as_generators, draw_normal
from kandinsky_core.pipelines.base import Callback, DiffusionPipeline
from kandinsky_core.pipelines.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.schedulers import UnCLIPScheduler
from kandinsky_core.tokenizer import ClipTokenizer
from kandinsky_core.validation import (
    as_batch,
    as_prompts,
    negatives_for,
    one_of,
    positive_int,
    real_number,
)

__all__ = ["KandinskyV22PriorPipeline"]


class KandinskyV22PriorPipeline(DiffusionPipeline):
    """Diffusion prior that turns CLIP text embeddings into CLIP image embeddings.

    Source: the unCLIP paper (Ramesh et al. 2022) and diffusers' pipeline of the same name.
    """

    component_names: ClassVar[tuple[str, ...]] = (
        "prior",
        "image_encoder",
        "text_encoder",
        "tokenizer",
        "scheduler",
        "image_processor",
    )
    part: ClassVar[str] = "prior"
    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "text_encoder_hidden_states",
        "text_mask",
    )

    def __init__(
        self,
        prior: PriorDenoiser,
        image_encoder: ImageEncoder,
        text_encoder: TextEncoder,
        tokenizer: ClipTokenizer,
        scheduler: UnCLIPScheduler,
        image_processor: Any = None,
    ) -> None:
        super().__init__(
            prior=prior,
            image_encoder=image_encoder,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            image_processor=image_processor,
        )
        self.prior: PriorDenoiser
        self.image_encoder: ImageEncoder
        self.text_encoder: TextEncoder
        self.tokenizer: ClipTokenizer
        self.scheduler: UnCLIPScheduler

    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int = 25,
        generator: Any = None,
        latents: Array | None = None,
        guidance_scale: float = 4.0,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        seed: int | Sequence[int] | None = None,
    ) -> KandinskyPriorPipelineOutput | tuple[FloatArray, FloatArray]:
        """Make image embeddings.

        Args:
            prompt: One prompt or a list of P.
            negative_prompt: What the picture shall not be: one text for all prompts or one for
                each. Its own embedding is made by the same prior and becomes
                `negative_image_embeds`, which doubles the work.
            num_images_per_prompt: n; the result has B = P * n rows, those of one prompt together.
            num_inference_steps: Steps of the prior.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            latents: Initial noise [B, D], [2B, D] with a negative prompt; drawn when None.
            guidance_scale: Classifier-free guidance; off at 1 and below.
            output_type: `np`.
            return_dict: False returns a plain tuple.
            callback_on_step_end: Called as `callback(pipe, step, timestep, values)`; what it
                returns replaces the values.
            callback_on_step_end_tensor_inputs: Names of the values that the callback gets.
            seed: Short for fresh generators: an int, or one for each picture.

        Returns:
            `image_embeds` and `negative_image_embeds`, float32 [B, D]. Without a negative prompt
            the latter is the embedding of an all-zero image.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        prompts = as_prompts("prompt", prompt)
        negatives = negatives_for(prompts, negative_prompt)
        count = len(prompts) * positive_int("num_images_per_prompt", num_images_per_prompt)
        scale = real_number("guidance_scale", guidance_scale)
        one_of("output_type", output_type, ("np",))
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        schedule = self.scheduler.schedule(num_inference_steps)
        source = as_generators(generator, seed, count)
        # Rows of the batch: the prompts, then the negative prompts, which pass through as well.
        groups = 1 if negatives is None else 2
        shape = (groups * count, self.prior.config.embedding_dim)
        if latents is not None:
            latents = as_batch("latents", latents, shape)
        conditioning = self._encode(prompts, negatives, num_images_per_prompt, scale > 1)
        if latents is None:
            latents = draw_normal(source.generators, shape, groups)
        with self._steps(
            len(schedule), conditioning, callback_on_step_end, callback_on_step_end_tensor_inputs
        ) as on_step:
            sample = denoise(
                self.prior,
                latents * np.float32(schedule.init_noise_sigma),
                schedule,
                conditioning,
                guidance_scale=scale,
                noise=lambda: draw_normal(source.generators, shape, groups),
                on_step=on_step,
            )
        mean, std = self.prior.clip_statistics()
        embeds = sample * std + mean
        require_finite(embeds, "the prior", self.prior.dtype)
        if negatives is None:
            image_embeds, negative_embeds = embeds, self.zero_embeds(count)
        else:
            image_embeds, negative_embeds = embeds[:count], embeds[count:]
        output = KandinskyPriorPipelineOutput(image_embeds, negative_embeds)
        return output if return_dict else output.to_tuple()

    def interpolate(
        self,
        images_and_prompts: Sequence[str],
        weights: Sequence[float],
        num_images_per_prompt: int = 1,
        num_inference_steps: int = 25,
        generator: Any = None,
        latents: Array | None = None,
        negative_prior_prompt: str | None = None,
        negative_prompt: str = "",
        guidance_scale: float = 4.0,
        device: Any = None,
        *,
        seed: int | Sequence[int] | None = None,
    ) -> KandinskyPriorPipelineOutput:
        """Mix prompts: the weighted sum of their image embeddings.

        Args:
            images_and_prompts: Texts.
            weights: One for each; they are not normalised.
            num_images_per_prompt: Rows of the result.
            num_inference_steps: Steps of the prior.
            generator: As for a call; it runs on from item to item.
            latents: Initial noise [B, D] of every item.
            negative_prior_prompt: Negative prompt of every item.
            negative_prompt: Prompt whose embedding becomes `negative_image_embeds`; empty takes
                what a call with `negative_prior_prompt` gives.
            guidance_scale: Classifier-free guidance of the prior.
            device: Not used; there for scripts written for diffusers.
            seed: As for a call.

        Returns:
            As for a call.

        Raises:
            InvalidInputError: As many weights as items are needed, and items must be text.
        """
        items = as_prompts("images_and_prompts", images_and_prompts)
        if len(items) != len(weights):
            raise InvalidInputError(
                f"{len(items)} items but {len(weights)} weights: give one weight for each item"
            )
        factors = [np.float32(real_number("weights", weight)) for weight in weights]
        count = positive_int("num_images_per_prompt", num_images_per_prompt)
        # One source for all runs: the reference's generator runs on, and so does ours.
        source = as_generators(generator, seed, count)

        def run(text: str) -> KandinskyPriorPipelineOutput:
            output = self(
                text,
                negative_prompt=negative_prior_prompt,
                num_images_per_prompt=count,
                num_inference_steps=num_inference_steps,
                generator=source.generators,
                latents=latents,
                guidance_scale=guidance_scale,
            )
            assert isinstance(output, KandinskyPriorPipelineOutput)
            return output

        rows = [
            factor * run(item).image_embeds for factor, item in zip(factors, items, strict=True)
        ]
        mixed: FloatArray = np.sum(rows, axis=0, dtype=np.float32)
        last = run(negative_prompt)
        negative = last.negative_image_embeds if negative_prompt == "" else last.image_embeds
        return KandinskyPriorPipelineOutput(mixed, negative)

    def zero_embeds(self, count: int) -> FloatArray:
        """Return the CLIP embedding of an all-zero image, `count` times: [count, D].

        Zero after normalisation, so a picture of the mean colour. It is the decoder's
        unconditional input.
        """
        size = self.image_encoder.config.image_size
        embeds = self.image_encoder.encode(np.zeros((1, 3, size, size), np.float32))
        require_finite(embeds, "the image encoder", self.image_encoder.dtype)
        return np.repeat(embeds, count, axis=0)

    def _encode(
        self, prompts: list[str], negatives: list[str] | None, copies: int, guided: bool
    ) -> dict[str, Array]:
        """Encode the texts of the batch, the unconditional rows first when guidance is on."""
        # With a negative prompt its rows run with themselves as unconditional texts, so guidance
        # leaves them as they are; the reference does the same.
        texts = prompts + (negatives or [])
        unconditional = 2 * negatives if negatives is not None else [""] * len(prompts)
        rows = (unconditional if guided else []) + texts
        distinct = list(dict.fromkeys(rows))
        encoded = {text: self._encode_text(text) for text in distinct}
        order = [text for text in rows for _ in range(copies)]
        names = ("prompt_embeds", "text_encoder_hidden_states", "text_mask")
        return {
            name: np.concatenate([encoded[text][part] for text in order])
            for part, name in enumerate(names)
        }

    def _encode_text(self, text: str) -> tuple[FloatArray, FloatArray, Array]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        ids, mask = self.tokenizer([text])
        embeds, hidden = self.text_encoder.encode(ids)
        require_finite(embeds, "the text encoder", self.text_encoder.dtype)
        return embeds, hidden, mask
