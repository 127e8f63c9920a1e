"""Kandinsky 2.2 in one call: prompt to picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.checkpoint import Checkpoint
from kandinsky_core.errors import ModelNotFoundError
from kandinsky_core.hub import HubOptions, connected_prior, resolve_model
from kandinsky_core.interfaces import Array, Autoencoder, Denoiser
from kandinsky_core.metadata import picture_seeds
from kandinsky_core.noise import as_generators
from kandinsky_core.pipelines.base import Callback, DiffusionPipeline
from kandinsky_core.pipelines.kandinsky2_2 import KandinskyV22Pipeline
from kandinsky_core.pipelines.kandinsky2_2_prior import KandinskyV22PriorPipeline
from kandinsky_core.pipelines.outputs import ImagePipelineOutput
from kandinsky_core.schedulers import Scheduler
from kandinsky_core.validation import as_prompts, negatives_for, positive_int

__all__ = ["KandinskyV22CombinedPipeline"]

_PRIOR_PREFIX = "prior_"


class KandinskyV22CombinedPipeline(DiffusionPipeline):
    """Prior and decoder behind one call; what `AutoPipelineForText2Image` builds for 2.2.

    Attributes:
        prior_pipe: The first half.
        decoder_pipe: The second half.
    """

    component_names: ClassVar[tuple[str, ...]] = (
        *KandinskyV22Pipeline.component_names,
        *(_PRIOR_PREFIX + name for name in KandinskyV22PriorPipeline.component_names),
    )

    def __init__(
        self, unet: Denoiser, scheduler: Scheduler, movq: Autoencoder, **prior_components: Any
    ) -> None:
        self.decoder_pipe = KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq)
        self.prior_pipe = KandinskyV22PriorPipeline(
            **{
                name.removeprefix(_PRIOR_PREFIX): component
                for name, component in prior_components.items()
            }
        )
        super().__init__()
        self.decoder_pipe._stop = self.prior_pipe._stop = self._stop

    # Components belong to the halves. Read and set here they are read and set there, so that
    # `pipe.scheduler = ...` takes effect, as it does in a pipeline that has no halves.

    def __getattr__(self, name: str) -> Any:
        if name not in type(self).component_names:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        half, component = self._home(name)
        return getattr(half, component)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).component_names:
            half, component = self._home(name)
            setattr(half, component, value)
        else:
            super().__setattr__(name, value)

    def _home(self, name: str) -> tuple[DiffusionPipeline, str]:
        if name.startswith(_PRIOR_PREFIX):
            return self.prior_pipe, name.removeprefix(_PRIOR_PREFIX)
        return self.decoder_pipe, name

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        prior: str | Path | None = None,
        prior_revision: str | None = None,
        **options: Any,
    ) -> Self:
        """Load both halves.

        Args:
            model: The decoder: `shapes`, a folder, or a hub id. A folder that holds `decoder` and
                `prior` serves as both.
            prior: The prior, where the decoder does not name it (in its README's front matter).
            prior_revision: Revision of the prior; `revision` is the decoder's alone.
            **options: As for every pipeline's `from_pretrained`.

        Raises:
            ModelNotFoundError: The decoder names no prior and none was given.
            KandinskyError: As for every pipeline's `from_pretrained`.
        """
        ready = {name: options.pop(name) for name in cls.component_names if name in options}
        prior_ready = {
            name.removeprefix(_PRIOR_PREFIX): component
            for name, component in ready.items()
            if name.startswith(_PRIOR_PREFIX)
        }
        decoder_ready = {
            name: ready[name] for name in KandinskyV22Pipeline.component_names if name in ready
        }
        prior_name = prior or _find_prior(model, options)
        shared = {**options, "revision": prior_revision}
        # A prior that is not there shows before gigabytes of decoder are fetched and read.
        Checkpoint.open(resolve_model(prior_name, "prior", HubOptions.among(shared), ()))
        decoder = KandinskyV22Pipeline.from_pretrained(model, **options, **decoder_ready)
        first = KandinskyV22PriorPipeline.from_pretrained(prior_name, **shared, **prior_ready)
        pipeline = cls(
            **decoder.components,
            **{_PRIOR_PREFIX + name: value for name, value in first.components.items()},
        )
        named = {"prior": prior, "prior_revision": prior_revision}
        given = {name: str(value) for name, value in named.items() if value is not None}
        pipeline.origin = pipeline.decoder_pipe.origin = decoder.origin | given
        pipeline.prior_pipe.origin = first.origin
        return pipeline

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
            seed: Short for fresh generators: an int, or one for each picture.

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        prompts = as_prompts("prompt", prompt)
        count = len(prompts) * positive_int("num_images_per_prompt", num_images_per_prompt)
        source = as_generators(generator, seed, count)
        # A request that the decoder would refuse is refused before the prior runs.
        self.decoder_pipe.plan(height, width, num_inference_steps, guidance_scale, output_type)
        self.decoder_pipe.check_callback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        with self._stop.call():
            embeds = self.prior_pipe(
                prompts,
                negative_prompt=negative_prompt,
                num_images_per_prompt=num_images_per_prompt,
                num_inference_steps=prior_num_inference_steps,
                generator=source.generators,
                latents=latents,
                guidance_scale=prior_guidance_scale,
                callback_on_step_end=prior_callback_on_step_end,
                callback_on_step_end_tensor_inputs=prior_callback_on_step_end_tensor_inputs,
            )
            image_embeds, negative_image_embeds = embeds
            output = self.decoder_pipe(
                image_embeds,
                negative_image_embeds,
                height=height,
                width=width,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                generator=source.generators,
                output_type=output_type,
                callback_on_step_end=callback_on_step_end,
                callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            )
        assert isinstance(output, ImagePipelineOutput)
        shared: dict[str, Any] = {
            "prior_num_inference_steps": prior_num_inference_steps,
            "prior_guidance_scale": float(prior_guidance_scale),
        }
        if latents is not None:
            shared["latents"] = "given"
        texts = _texts(prompts, negative_prompt, num_images_per_prompt)
        rows = zip(texts, output.metadata, picture_seeds(source, count), strict=True)
        metadata = [{**text, **of_decoder, **own, **shared} for text, of_decoder, own in rows]
        output = ImagePipelineOutput(output.images, metadata)
        return output if return_dict else output.to_tuple()

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of both halves' tqdm bars, `disable=True` for example."""
        for half in (self.prior_pipe, self.decoder_pipe):
            half.set_progress_bar_config(**settings)


def _texts(prompts: list[str], negative_prompt: Any, copies: int) -> list[dict[str, str | None]]:
    """Return the prompts of each picture, for its metadata."""
    negatives: Sequence[str | None]
    negatives = negatives_for(prompts, negative_prompt) or [None] * len(prompts)
    return [
        {"prompt": text, "negative_prompt": negative}
        for text, negative in zip(prompts, negatives, strict=True)
        for _ in range(copies)
    ]


def _find_prior(model: str | Path, options: dict[str, Any]) -> str:
    """Return the prior that belongs to a decoder."""
    decoder = resolve_model(model, "decoder", HubOptions.among(options), ())
    both = decoder.parent / "prior" / "model_index.json"
    found = connected_prior(decoder)
    if found is None and decoder.name == "decoder" and both.is_file():
        found = str(both.parent)
    if found is None:
        raise ModelNotFoundError(
            f"{model} names no prior (a `prior:` entry in its README.md): "
            "give one with prior=, a folder or a hub id"
        )
    return found
