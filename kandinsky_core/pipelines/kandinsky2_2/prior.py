"""Kandinsky 2.2, first half: from prompts to image embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import denoise, require_finite
from kandinsky_core.denoising.noise import SeededGenerators, as_generators, draw_normal
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.clip_images import clip_pixels
from kandinsky_core.pipelines.shared.base import Callback, DiffusionPipeline
from kandinsky_core.pipelines.shared.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.schedulers import UnCLIPScheduler
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.seam.networks import ImageEncoder, PriorDenoiser, TextEncoder
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
from kandinsky_core.validation import (
    as_batch,
    as_prompts,
    negatives_for,
    one_of,
    positive_int,
    real_number,
)

__all__ = ["KandinskyV22PriorPipeline", "PriorRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorRequest:
    """A checked request to the prior.

    The rows of its batch are the prompts, then the negative prompts, which pass through as well;
    each `copies` times.
    """

    prompts: list[str]
    negatives: list[str] | None
    copies: int
    guidance_scale: float
    schedule: Schedule
    source: SeededGenerators
    embedding_dim: int

    @property
    def count(self) -> int:
        """Number of embeddings to make."""
        return len(self.prompts) * self.copies

    @property
    def groups(self) -> int:
        """Rows of the batch for each of them."""
        return 1 if self.negatives is None else 2

    @property
    def shape(self) -> tuple[int, int]:
        """Of the sample."""
        return self.groups * self.count, self.embedding_dim

    def draw(self) -> FloatArray:
        """Draw the noise of one step."""
        return draw_normal(self.source.generators, self.shape, self.groups)


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
    negative_prompt_compiles: ClassVar[bool] = True
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
        self.image_processor: Any

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
        request = self._request(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            guidance_scale,
            output_type,
            self.scheduler.schedule(num_inference_steps),
            generator,
            seed,
        )
        self.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        if latents is not None:
            latents = as_batch("latents", latents, request.shape)
        conditioning = self._encode(request)
        if latents is None:
            latents = request.draw()
        output = self._embed(
            request,
            latents * np.float32(request.schedule.init_noise_sigma),
            conditioning,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
        )
        return output if return_dict else output.to_tuple()

    def interpolate(
        self,
        images_and_prompts: Sequence[Any],
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
        """Mix prompts and pictures: the weighted sum of their image embeddings.

        Args:
            images_and_prompts: Texts, and pictures: PIL or arrays (see
                `kandinsky_core.pictures.inputs`), or pixels [1, 3, S, S] as CLIP's image processor
                gives them.
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
            InvalidInputError: As many weights as items are needed, and items must be text or
                pictures.
        """
        items = self._items(images_and_prompts)
        if np.ndim(weights) != 1 or len(items) != len(weights):
            raise InvalidInputError(
                f"{len(items)} items but {np.size(weights)} weights: give a list with one for each"
            )
        factors = [np.float32(real_number("weights", weight)) for weight in weights]
        count = positive_int("num_images_per_prompt", num_images_per_prompt)
        # One source for all runs: the reference's generator runs on, and so does ours.
        source = as_generators(generator, seed, count)

        def run(text: str) -> KandinskyPriorPipelineOutput:
            output = KandinskyV22PriorPipeline.__call__(
                self,
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

        def embed(item: str | FloatArray) -> FloatArray:
            if isinstance(item, str):
                return run(item).image_embeds
            return np.repeat(self._encode_pixels(item), count, axis=0)

        rows = [factor * embed(item) for factor, item in zip(factors, items, strict=True)]
        mixed: FloatArray = np.sum(rows, axis=0, dtype=np.float32)
        return KandinskyPriorPipelineOutput(
            mixed, self._negative_of_mix(negative_prompt, run, count)
        )

    def _negative_of_mix(
        self, negative_prompt: str, run: Callable[[str], KandinskyPriorPipelineOutput], count: int
    ) -> FloatArray:
        """Return the unconditional embeddings of `interpolate`, [count, D].

        One more run of the prior makes them, as in the reference, whose generator it advances.
        """
        last = run(negative_prompt)
        return last.negative_image_embeds if negative_prompt == "" else last.image_embeds

    def _items(self, images_and_prompts: Sequence[Any]) -> list[str | FloatArray]:
        """Check what to mix: texts as they are, pictures as CLIP's pixels [1, 3, S, S]."""
        if isinstance(images_and_prompts, str) or not isinstance(images_and_prompts, Sequence):
            raise InvalidInputError("images_and_prompts: give a list of texts and pictures")
        if not images_and_prompts:
            raise InvalidInputError("images_and_prompts is empty: give at least one")
        items = [
            item if isinstance(item, str) else self._pixels("images_and_prompts", item)
            for item in images_and_prompts
        ]
        if any(len(item) != 1 for item in items if not isinstance(item, str)):
            raise InvalidInputError("images_and_prompts: a batch of pictures: give one an item")
        return items

    def _pixels(self, name: str, image: Any) -> FloatArray:
        """Turn a picture into what the image encoder reads, [1, 3, S, S]; such pixels pass."""
        size = self.image_encoder.config.image_size
        if getattr(image, "ndim", 0) == 4:
            return as_batch(f"{name} (as CLIP's pixels)", image, (None, 3, size, size))
        return clip_pixels(name, image, self.image_processor or {})

    def _encode_pixels(self, pixels: FloatArray) -> FloatArray:
        embeds = self.image_encoder.encode(pixels)
        require_finite(embeds, "the image encoder", self.image_encoder.dtype)
        return embeds

    def zero_embeds(self, count: int) -> FloatArray:
        """Return the CLIP embedding of an all-zero image, `count` times: [count, D].

        Zero after normalisation, so a picture of the mean colour. It is the decoder's
        unconditional input.
        """
        size = self.image_encoder.config.image_size
        embeds = self._encode_pixels(np.zeros((1, 3, size, size), np.float32))
        return np.repeat(embeds, count, axis=0)

    def _request(
        self,
        prompt: Any,
        negative_prompt: Any,
        num_images_per_prompt: Any,
        guidance_scale: Any,
        output_type: Any,
        schedule: Schedule,
        generator: Any,
        seed: Any,
    ) -> PriorRequest:
        """Check the arguments of a call.

        Raises:
            InvalidInputError: One is of the wrong kind or range.
        """
        prompts = as_prompts("prompt", prompt)
        copies = positive_int("num_images_per_prompt", num_images_per_prompt)
        one_of("output_type", output_type, ("np",))
        return PriorRequest(
            prompts=prompts,
            negatives=negatives_for(prompts, negative_prompt),
            copies=copies,
            guidance_scale=real_number("guidance_scale", guidance_scale),
            schedule=schedule,
            source=as_generators(generator, seed, len(prompts) * copies),
            embedding_dim=self.prior.config.embedding_dim,
        )

    def _encode(self, request: PriorRequest) -> dict[str, Array]:
        """Encode the texts of the batch, the unconditional rows first when guidance is on."""
        # With a negative prompt its rows run with themselves as unconditional texts, so guidance
        # leaves them as they are; the reference does the same.
        prompts, negatives = request.prompts, request.negatives
        texts = prompts + (negatives or [])
        unconditional = 2 * negatives if negatives is not None else [""] * len(prompts)
        rows = (unconditional if request.guidance_scale > 1 else []) + texts
        encoded = {text: self._encode_text(text) for text in dict.fromkeys(rows)}
        order = [text for text in rows for _ in range(request.copies)]
        names = ("prompt_embeds", "text_encoder_hidden_states", "text_mask")
        return {
            name: np.concatenate([encoded[text][part] for text in order])
            for part, name in enumerate(names)
        }

    def _embed(
        self,
        request: PriorRequest,
        sample: FloatArray,
        conditioning: dict[str, Array],
        callback: Callback | None = None,
        callback_names: Sequence[str] = (),
    ) -> KandinskyPriorPipelineOutput:
        """Run the loop, and leave the space that the prior works in."""
        with self._steps(len(request.schedule), conditioning, callback, callback_names) as on_step:
            sample = denoise(
                self.prior,
                sample,
                request.schedule,
                conditioning,
                guidance_scale=request.guidance_scale,
                noise=request.draw,
                on_step=on_step,
            )
        mean, std = self.prior.clip_statistics()
        embeds = sample * std + mean
        require_finite(embeds, "the prior", self.prior.dtype)
        if request.negatives is None:
            return KandinskyPriorPipelineOutput(embeds, self.zero_embeds(request.count))
        return KandinskyPriorPipelineOutput(embeds[: request.count], embeds[request.count :])

    def _encode_text(self, text: str) -> tuple[FloatArray, FloatArray, Array]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        ids, mask = self.tokenizer([text])
        embeds, hidden = self.text_encoder.encode(ids)
        require_finite(embeds, "the text encoder", self.text_encoder.dtype)
        return embeds, hidden, mask
