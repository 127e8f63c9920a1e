"""Prior and decoder behind one call: what the combined pipelines of 2.1 and 2.2 share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions, connected_prior
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.noise import SeededGenerators, as_generators, picture_seeds
from kandinsky_core.errors import ConfigError, InvalidInputError, ModelNotFoundError
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.halves_memory import Half, require_room_for_halves
from kandinsky_core.pipelines.kandinsky2_2.prior import KandinskyV22PriorPipeline
from kandinsky_core.pipelines.shared.base import Callback, DiffusionPipeline
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.registry import chosen_backend
from kandinsky_core.validation import as_prompts, negatives_for, positive_int

__all__ = ["CombinedPipeline", "CombinedRequest", "find_prior"]

_PRIOR_PREFIX = "prior_"


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRequest:
    """The checked part of a request that the prior answers."""

    prompts: list[str]
    negative_prompt: Any
    copies: int
    prior_num_inference_steps: int
    prior_guidance_scale: float
    latents: Array | None
    decoder_negative_prompt: Any
    source: SeededGenerators

    @property
    def count(self) -> int:
        """Number of pictures to make."""
        return len(self.prompts) * self.copies

    @classmethod
    def check(
        cls,
        prompt: Any,
        negative_prompt: Any,
        num_images_per_prompt: Any,
        prior_num_inference_steps: Any,
        prior_guidance_scale: Any,
        latents: Any,
        decoder_negative_prompt: Any,
        generator: Any,
        seed: Any,
    ) -> Self:
        """Check what both halves share.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        prompts = as_prompts("prompt", prompt)
        copies = positive_int("num_images_per_prompt", num_images_per_prompt)
        return cls(
            prompts=prompts,
            negative_prompt=negative_prompt,
            copies=copies,
            prior_num_inference_steps=prior_num_inference_steps,
            prior_guidance_scale=prior_guidance_scale,
            latents=latents,
            decoder_negative_prompt=decoder_negative_prompt,
            source=as_generators(generator, seed, len(prompts) * copies),
        )


class CombinedPipeline(DiffusionPipeline):
    """Base of the pipelines that have prior and decoder behind one call.

    Attributes:
        decoder_class: The second half's class.
        prior_pipe: The first half.
        decoder_pipe: The second half.
    """

    decoder_class: ClassVar[type[EmbeddingDecoder]]
    decoder_pipe: Any
    negative_prompt_compiles: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.component_names = (
            *cls.decoder_class.component_names,
            *(_PRIOR_PREFIX + name for name in KandinskyV22PriorPipeline.component_names),
        )

    def __init__(self, **components: Any) -> None:
        of_prior = {name for name in components if name.startswith(_PRIOR_PREFIX)}
        self.decoder_pipe = self.decoder_class(
            **{name: components[name] for name in components if name not in of_prior}
        )
        self.prior_pipe = KandinskyV22PriorPipeline(
            **{name.removeprefix(_PRIOR_PREFIX): components[name] for name in of_prior}
        )
        super().__init__()
        self._check_halves()
        self.decoder_pipe._stop = self.prior_pipe._stop = self._stop

    def _check_halves(self) -> None:
        prior, unet = self.prior_pipe.prior, self.decoder_pipe.unet
        if prior is None or unet is None:  # left out, to look at the other components
            return
        made, read = prior.config.embedding_dim, unet.config.image_embed_dim
        if made != read:
            raise ConfigError(
                f"the prior makes image embeddings of {made} numbers and the decoder reads {read}: "
                "take the prior that belongs to this decoder"
            )

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
        model: str | Path | OpenedModel,
        *,
        prior: str | Path | OpenedModel | None = None,
        prior_revision: str | None = None,
        backend: str | Backend | None = None,
        mesh: Any = None,
        **options: Any,
    ) -> Self:
        """Load both halves.

        Args:
            model: The decoder: `shapes`, a folder, or a hub id. A folder that holds `decoder` and
                `prior` serves as both.
            prior: The prior, where the decoder does not name it (in its README's front matter).
            prior_revision: Revision of the prior; `revision` is the decoder's alone.
            backend: As for every pipeline's `from_pretrained`; one object loads both halves.
            mesh: Likewise.
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
            name: ready[name] for name in cls.decoder_class.component_names if name in ready
        }
        chosen = chosen_backend(backend, mesh, options.get("device"))
        options["backend"] = chosen
        shared = {**options, "revision": prior_revision}
        of_decoder = OpenedModel.of(model, cls.decoder_class.part, HubOptions.among(options))
        # A prior that is not there shows before gigabytes of decoder are fetched and read.
        of_prior = OpenedModel.of(
            prior or find_prior(of_decoder.checkpoint, cls.decoder_class.part),
            KandinskyV22PriorPipeline.part,
            HubOptions.among(shared),
        )
        # Neither is loaded where the device does not hold both.
        require_room_for_halves(
            chosen,
            Half(cls.decoder_class, of_decoder, options, decoder_ready),
            Half(KandinskyV22PriorPipeline, of_prior, shared, prior_ready, _PRIOR_PREFIX),
        )
        decoder = cls.decoder_class.from_pretrained(of_decoder, **options, **decoder_ready)
        first = KandinskyV22PriorPipeline.from_pretrained(of_prior, **shared, **prior_ready)
        pipeline = cls(
            **decoder.components,
            **{_PRIOR_PREFIX + name: value for name, value in first.components.items()},
        )
        named = {"prior": prior and of_prior.name, "prior_revision": prior_revision}
        given = {name: str(value) for name, value in named.items() if value is not None}
        pipeline.origin = pipeline.decoder_pipe.origin = decoder.origin | given
        pipeline.prior_pipe.origin = first.origin
        return pipeline

    def _decoder_texts(self, request: CombinedRequest) -> dict[str, Any]:
        """Return what the decoder's call takes of the texts.

        Raises:
            InvalidInputError: Texts are given for a decoder that reads none, or their numbers
                differ.
        """
        if request.decoder_negative_prompt is not None:
            raise InvalidInputError(
                "decoder_negative_prompt: this decoder reads no text; negative_prompt goes to the "
                "prior"
            )
        return {}

    def _make(
        self,
        request: CombinedRequest,
        decode: Callable[..., Any],
        prior_callback: Callback | None,
        prior_callback_names: Sequence[str],
        return_dict: bool,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Run both halves, the second by `decode`, which takes embeddings and generators.

        What the decoder would refuse is refused by the caller before.
        """
        with self._stop.call():
            image_embeds, negative_image_embeds = self.prior_pipe(
                request.prompts,
                negative_prompt=request.negative_prompt,
                num_images_per_prompt=request.copies,
                num_inference_steps=request.prior_num_inference_steps,
                generator=request.source.generators,
                latents=request.latents,
                guidance_scale=request.prior_guidance_scale,
                callback_on_step_end=prior_callback,
                callback_on_step_end_tensor_inputs=prior_callback_names,
            )
            output = decode(
                image_embeds=image_embeds,
                negative_image_embeds=negative_image_embeds,
                generator=request.source.generators,
            )
        assert isinstance(output, ImagePipelineOutput)
        shared: dict[str, Any] = {
            "prior_num_inference_steps": request.prior_num_inference_steps,
            "prior_guidance_scale": float(request.prior_guidance_scale),
        }
        if request.latents is not None:
            shared["latents"] = "given"
        texts = _texts(request)
        seeds = picture_seeds(request.source, len(texts))
        rows = zip(texts, output.metadata, seeds, strict=True)
        metadata = [{**text, **of_decoder, **own, **shared} for text, of_decoder, own in rows]
        output = ImagePipelineOutput(output.images, metadata)
        return output if return_dict else output.to_tuple()

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of both halves' tqdm bars, `disable=True` for example."""
        for half in (self.prior_pipe, self.decoder_pipe):
            half.set_progress_bar_config(**settings)


def _texts(request: CombinedRequest) -> list[dict[str, str | None]]:
    """Return the prompts of each picture, for its metadata."""
    given = {"negative_prompt": request.negative_prompt}
    if request.decoder_negative_prompt is not None:
        given["decoder_negative_prompt"] = request.decoder_negative_prompt
    nothing = [None] * len(request.prompts)
    columns = {
        "prompt": request.prompts,
        **{name: negatives_for(request.prompts, text) or nothing for name, text in given.items()},
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
        for _ in range(request.copies)
    ]


def find_prior(decoder: Checkpoint, part: str) -> str:
    """Return the name of the prior that belongs to a decoder.

    Args:
        decoder: The decoder.
        part: Its own folder's name, where a folder beside it may be the prior.

    Raises:
        ModelNotFoundError: The decoder names none.
    """
    folder = decoder.folder
    both = folder.parent / "prior" / "model_index.json"
    found = connected_prior(folder)
    if found is None and folder.name == part and both.is_file():
        found = str(both.parent)
    if found is None:
        raise ModelNotFoundError(
            f"{decoder.name} names no prior (a `prior:` entry in its README.md): "
            "give one with prior=, a folder or a hub id"
        )
    return found
