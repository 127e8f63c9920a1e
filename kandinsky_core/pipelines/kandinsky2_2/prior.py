"""Kandinsky 2.2, first half: from prompts to image embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import denoise, require_finite
from kandinsky_core.denoising.noise import as_generators
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.call_size import FLOAT, Need, host, require_room_for_call
from kandinsky_core.pictures.clip_images import clip_pixels
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.pictures.torch_tensors import require_torch_for
from kandinsky_core.pipelines.kandinsky2_2.prior_request import PriorRequest
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.pipelines.shared.call_options import Callback, CallOptions
from kandinsky_core.pipelines.shared.decoder import first_step
from kandinsky_core.pipelines.shared.known_tokens import known_tokens
from kandinsky_core.pipelines.shared.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.stopping import Call
from kandinsky_core.schedulers import UnCLIPScheduler
from kandinsky_core.seam.networks import ImageEncoder, PriorDenoiser, TextEncoder
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import as_batch, negatives_for, one_of, positive_int, real_number

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

    def prepare(
        self,
        prompt: str | Sequence[str] | Prompts,
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
    ) -> PriorRequest:
        """Check a request for image embeddings.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            negative_prompt: The text that describes what to keep out: one for all prompts, or a
                list with one for each. The same prior makes its embedding, which becomes
                `negative_image_embeds`. This doubles the work.
            latents: Initial noise [B, D], or [2B, D] with a negative prompt; None draws it.
            output_type: `np` for NumPy arrays, or `pt` for PyTorch tensors.

        Returns:
            The request. `run` turns it into `image_embeds` and `negative_image_embeds`, float32
            [B, D]; the rows of one prompt stand together. Without a negative prompt
            `negative_image_embeds` is the embedding of an all-zero image.
        """
        request = self._request(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            num_inference_steps,
            guidance_scale,
            output_type,
            generator,
            seed,
            self.call_options(
                callback_on_step_end, callback_on_step_end_tensor_inputs, return_dict
            ),
        )
        if latents is None:
            return request
        return replace(request, latents=as_batch("latents", latents, request.shape))

    __call__ = prepared_call(prepare)

    def run(self, request: PriorRequest) -> KandinskyPriorPipelineOutput | tuple[Any, ...]:
        """Make the embeddings of a call that `prepare` has checked.

        Args:
            request: What `prepare` of this pipeline returned.

        Raises:
            InvalidInputError: The request has been run before.
            NonFiniteError: A network gave NaN or infinity.
        """
        return request.options.returned(self.make(request).in_form(request.output_type))

    def make(self, request: PriorRequest) -> KandinskyPriorPipelineOutput:
        """Make the embeddings as `run` does, and always return them as an output object."""
        with self._calls.running(request.call):
            conditioning = self._encode(request)
            return self._embed(request, self._sample(request), conditioning)

    def _sample(self, request: PriorRequest) -> FloatArray:
        """Return the sample that the loop starts from."""
        latents = request.draw() if request.latents is None else request.latents
        return latents * np.float32(request.schedule.init_noise_sigma)

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
            weights: One weight for each item; they are not normalised.
            num_images_per_prompt: Number of rows of the result.
            num_inference_steps: Number of denoising steps in the prior.
            generator: As for a call; it runs on from item to item.
            latents: Initial noise [B, D] of every item.
            negative_prior_prompt: Negative prompt of every item.
            negative_prompt: Prompt whose embedding becomes `negative_image_embeds`. An empty
                one takes the result of a call with `negative_prior_prompt`.
            guidance_scale: Weight of classifier-free guidance in the prior.
            device: Has no effect; scripts written for diffusers may pass it.
            seed: As for a call.

        Returns:
            As for a call.

        Raises:
            InvalidInputError: The numbers of weights and items differ, or an item is neither a text
                nor a picture.
        """
        items = self._items(images_and_prompts)
        factors = self._factors(weights, len(items))
        count = positive_int("num_images_per_prompt", num_images_per_prompt)
        self._require_room(Prompts([""]), count)
        # One source for all runs: the reference's generator runs on, and so does ours.
        source = as_generators(generator, seed, count)
        negatives = negatives_for([""], negative_prior_prompt)
        call = Call()  # of all runs together, so that `interrupt` stops them all
        found: list[Mapping[str, Any]] = []

        def run(text: str | Prompts) -> KandinskyPriorPipelineOutput:
            # This class's own method: a subclass may want a picture for each text.
            request = KandinskyV22PriorPipeline.prepare(
                self,
                Prompts(Prompts.check(text).texts, negatives),
                num_images_per_prompt=count,
                num_inference_steps=num_inference_steps,
                generator=source,
                latents=latents,
                guidance_scale=guidance_scale,
            )
            output = self.make(replace(request, call=call))
            found.extend(filter(None, [output.interrupted]))
            return output

        def embed(item: Prompts | FloatArray) -> FloatArray:
            if isinstance(item, Prompts):
                return run(item).image_embeds
            return np.repeat(self._encode_pixels(item), count, axis=0)

        with self._calls.running(call):
            rows = [factor * embed(item) for factor, item in zip(factors, items, strict=True)]
            negative = self._negative_of_mix(negative_prompt, run, count)
        mixed: FloatArray = np.sum(rows, axis=0, dtype=np.float32)
        return KandinskyPriorPipelineOutput(mixed, negative, next(iter(found), None))

    def _factors(self, weights: Any, count: int) -> list[np.float32]:
        """Check the weights of `interpolate`."""
        if not isinstance(weights, (list, tuple)):
            array = as_array("weights", weights)
            weights = list(array) if array.ndim == 1 else [array]
        if len(weights) != count:
            raise InvalidInputError(
                f"{count} items but {len(weights)} weights: give a list with one for each"
            )
        return [np.float32(real_number("weights", weight)) for weight in weights]

    def _negative_of_mix(
        self,
        negative_prompt: str,
        run: Callable[[str | Prompts], KandinskyPriorPipelineOutput],
        count: int,
    ) -> FloatArray:
        """Return the unconditional embeddings of `interpolate`, [count, D].

        One more run of the prior makes them, as in the reference, whose generator it advances.
        """
        last = run(negative_prompt)
        return last.negative_image_embeds if negative_prompt == "" else last.image_embeds

    def _items(self, images_and_prompts: Sequence[Any]) -> list[Prompts | FloatArray]:
        """Check what to mix; pictures become CLIP's pixels [1, 3, S, S]."""
        if isinstance(images_and_prompts, str) or not isinstance(images_and_prompts, Sequence):
            raise InvalidInputError("images_and_prompts: give a list of texts and pictures")
        if not images_and_prompts:
            raise InvalidInputError("images_and_prompts is empty: give at least one")
        items = [
            Prompts.check(item)
            if isinstance(item, (str, Prompts))
            else self._pixels("images_and_prompts", item)
            for item in images_and_prompts
        ]
        if any(len(item) != 1 for item in items):
            raise InvalidInputError("images_and_prompts: a batch of pictures: give one an item")
        return items

    def _pixels(self, name: str, image: Any) -> FloatArray:
        """Turn a picture into the image encoder's pixels, [1, 3, S, S]; such pixels pass."""
        size = self.image_encoder.config.image_size
        if getattr(image, "ndim", 0) == 4:
            return as_batch(f"{name} (as CLIP's pixels)", image, (None, 3, size, size))
        return clip_pixels(name, image, self.image_processor or {})

    def _encode_pixels(self, pixels: FloatArray) -> FloatArray:
        embeds = self.image_encoder.encode(pixels)
        require_finite(embeds, "the image encoder", self.image_encoder.dtype)
        return embeds

    def get_zero_embed(self, batch_size: int = 1, device: Any = None) -> FloatArray:
        """Return `zero_embeds(batch_size)`, by diffusers' name; `device` has no effect."""
        return self.zero_embeds(positive_int("batch_size", batch_size))

    def zero_embeds(self, count: int) -> FloatArray:
        """Return the CLIP embedding of an all-zero image, `count` times: [count, D].

        The image is zero after normalisation, so it has the mean colour everywhere. Its embedding
        is the decoder's unconditional input.
        """
        size = self.image_encoder.config.image_size
        embeds = self._encode_pixels(np.zeros((1, 3, size, size), np.float32))
        return np.repeat(embeds, count, axis=0)

    def _request(
        self,
        prompt: Any,
        negative_prompt: Any,
        num_images_per_prompt: Any,
        num_inference_steps: Any,
        guidance_scale: Any,
        output_type: Any,
        generator: Any,
        seed: Any,
        options: CallOptions,
        strength: Any = None,
    ) -> PriorRequest:
        """Check the arguments of a call.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
            DeviceMemoryError: The embeddings are too many for this machine.
        """
        prompts = Prompts.check(prompt, negative_prompt)
        copies = positive_int("num_images_per_prompt", num_images_per_prompt)
        steps = positive_int("num_inference_steps", num_inference_steps)
        self._require_room(prompts, copies)
        return PriorRequest(
            prompts=prompts,
            copies=copies,
            num_inference_steps=steps,
            guidance_scale=real_number("guidance_scale", guidance_scale),
            schedule=self.scheduler.schedule(
                steps, 0 if strength is None else first_step(strength, steps)
            ),
            source=as_generators(generator, seed, len(prompts) * copies),
            embedding_dim=self.prior.config.embedding_dim,
            options=options,
            output_type=require_torch_for(one_of("output_type", output_type, ("np", "pt"))),
        )

    def _require_room(self, prompts: Prompts, copies: int) -> None:
        """Refuse a batch whose text tokens, [., L, D] in float32, exceed the host's memory."""
        rows = len(prompts) * copies * (1 if prompts.negatives is None else 2)
        config = self.prior.config
        size = rows * config.num_embeddings * config.embedding_dim * FLOAT
        require_room_for_call(
            f"{rows} rows of the prior", [Need("the tokens of their texts", size, host())]
        )

    def _encode(self, request: PriorRequest) -> dict[str, Array]:
        """Encode the texts of the batch, the unconditional rows first when guidance is on."""
        # The rows of a negative prompt have themselves as unconditional texts, so guidance leaves
        # them as they are; the reference does the same.
        prompts, negatives = request.prompts.texts, request.prompts.negatives
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
        self, request: PriorRequest, sample: FloatArray, conditioning: dict[str, Array]
    ) -> KandinskyPriorPipelineOutput:
        """Run the loop, and turn its result from the prior's scale into image embeddings."""
        steps, scale = len(request.schedule), request.guidance_scale
        with self._steps(steps, conditioning, request.options, scale) as on_step:
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
        made, negative = embeds[: request.count], embeds[request.count :]
        if request.prompts.negatives is None:
            negative = self.zero_embeds(request.count)
        return KandinskyPriorPipelineOutput(made, negative, on_step.interrupted)

    def _encode_text(self, text: str) -> tuple[FloatArray, FloatArray, Array]:
        """Encode one text; always a batch of one, so that one program serves every request."""
        ids, mask = known_tokens(self.tokenizer([text]), self.text_encoder)
        embeds, hidden = self.text_encoder.encode(ids)
        require_finite(embeds, "the text encoder", self.text_encoder.dtype)
        return embeds, hidden, mask
