"""Prior and decoder behind one call: what the combined pipelines of 2.1 and 2.2 share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions, connected_prior
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import ConfigError, InvalidInputError, ModelNotFoundError
from kandinsky_core.foreign_names import refusal
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder, EmbedsToCome
from kandinsky_core.pipelines.kandinsky2_2.halves_memory import Half, require_room_for_halves
from kandinsky_core.pipelines.kandinsky2_2.image_prompt import MixesPictures
from kandinsky_core.pipelines.kandinsky2_2.prior import KandinskyV22PriorPipeline
from kandinsky_core.pipelines.kandinsky2_2.prior_request import PriorRequest
from kandinsky_core.pipelines.kandinsky2_2.verified_parts import HalvesParts
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.pipelines.shared.call_state import CallState
from kandinsky_core.pipelines.shared.foreign_options import known_options, model_by_name
from kandinsky_core.pipelines.shared.image_prompt import ImagePrompt
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.pipelines.shared.ready_components import backend_of, check_ready
from kandinsky_core.pipelines.shared.requests import CallRequest, DecoderRequest
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.quantization import require_quantizing
from kandinsky_core.seam.registry import chosen_backend
from kandinsky_core.texts.prompts import Prompts

__all__ = ["PRIOR_PREFIX", "CombinedPipeline", "CombinedRequest", "find_prior", "holds_prior"]

PRIOR_PREFIX = "prior_"
"""How the names of the prior's components begin in a combined pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedRequest(CallRequest[ImagePipelineOutput | tuple[Any, ...]]):
    """A checked call of both halves.

    Attributes:
        prior: The request to the prior.
        decoder: The request to the decoder, for embeddings that the prior makes.
        decoder_negatives: Negative prompts of a decoder that reads texts, one for each prompt, or
            None where none is given.
        image_prompt: Pictures that are mixed into what the prior makes, or None.
    """

    prior: PriorRequest
    decoder: DecoderRequest
    decoder_negatives: list[str] | None
    image_prompt: ImagePrompt | None = None


class CombinedPipeline(MixesPictures, DiffusionPipeline):
    """Base of the pipelines that have prior and decoder behind one call.

    Attributes:
        decoder_class: The second half's class.
        prior_pipe: The first half.
        decoder_pipe: The second half.
    """

    decoder_class: ClassVar[type[EmbeddingDecoder]]
    decoder_pipe: Any
    negative_prompt_compiles: ClassVar[bool] = True
    verified: ClassVar[type[VerifiedParts]] = HalvesParts

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.component_names = (
            *cls.decoder_class.component_names,
            *(PRIOR_PREFIX + name for name in KandinskyV22PriorPipeline.component_names),
        )

    def __init__(self, **components: Any) -> None:
        of_prior = {name for name in components if name.startswith(PRIOR_PREFIX)}
        self.decoder_pipe = self.decoder_class(
            **{name: components[name] for name in components if name not in of_prior}
        )
        self.prior_pipe = KandinskyV22PriorPipeline(
            **{name.removeprefix(PRIOR_PREFIX): components[name] for name in of_prior}
        )
        super().__init__()
        self._check_halves()
        self.decoder_pipe._calls = self.prior_pipe._calls = self._calls

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.decoder_pipe, self.prior_pipe = copy(self.decoder_pipe), copy(self.prior_pipe)
        self.decoder_pipe._calls = self.prior_pipe._calls = self._calls

    # Components belong to the halves. To read or set one here reads or sets it there, so that
    # `pipe.scheduler = ...` takes effect, as it does in a pipeline that has no halves.

    def __getattr__(self, name: str) -> Any:
        if name not in type(self).component_names:
            raise refusal(type(self), name)
        half, component = self._home(name)
        return getattr(half, component)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).component_names:
            half, component = self._home(name)
            setattr(half, component, value)
        else:
            super().__setattr__(name, value)

    def _home(self, name: str) -> tuple[DiffusionPipeline, str]:
        if name.startswith(PRIOR_PREFIX):
            return self.prior_pipe, name.removeprefix(PRIOR_PREFIX)
        return self.decoder_pipe, name

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse networks that do not fit the task; see `DiffusionPipeline.check_configs`."""
        cls.decoder_class.check_configs(
            {name: config for name, config in configs.items() if not name.startswith(PRIOR_PREFIX)}
        )

    @classmethod
    def _optional_components(cls) -> set[str]:
        of_prior = KandinskyV22PriorPipeline._optional_components()
        return cls.decoder_class._optional_components() | {PRIOR_PREFIX + name for name in of_prior}

    def _take_over(self, other: Any, had: dict[str, Any], taken: dict[str, Any]) -> None:
        super()._take_over(other, had, taken)
        if isinstance(other, CombinedPipeline):
            replaced = any(
                taken[PRIOR_PREFIX + name] is not value
                for name, value in other.prior_pipe.networks.items()
            )
            self.prior_pipe.origin = {} if replaced else other.prior_pipe.origin

    @property
    def _loop_owner(self) -> CallState:
        """See `CallState`; diffusers' combined pipelines show no state."""
        decoder: CallState = self.decoder_pipe
        return decoder

    @property
    def origin(self) -> dict[str, str]:
        """Which weights these are; the decoder writes it into its pictures."""
        found: dict[str, str] = self.decoder_pipe.origin
        return found

    @origin.setter
    def origin(self, value: dict[str, str]) -> None:
        self.decoder_pipe.origin = value

    @classmethod
    @model_by_name
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
                `prior` serves as both, and so does one that a combined pipeline was saved in.
            prior: The prior, where the decoder does not name it (in its README's front matter).
            prior_revision: Revision of the prior; `revision` is the decoder's alone.
            backend: As for every pipeline's `from_pretrained`; one object loads both halves.
            mesh: As for every pipeline's `from_pretrained`.
            **options: As for every pipeline's `from_pretrained`.

        Raises:
            ModelNotFoundError: The decoder names no prior and none was given.
            KandinskyError: See `DiffusionPipeline.from_pretrained`.
        """
        options = known_options(options)
        of_decoder = OpenedModel.of(model, cls.decoder_class.part, HubOptions.among(options))
        if prior is None and holds_prior(of_decoder.checkpoint):
            return super().from_pretrained(of_decoder, backend=backend, mesh=mesh, **options)
        ready = {name: options.pop(name) for name in cls.component_names if name in options}
        prior_ready = {
            name.removeprefix(PRIOR_PREFIX): component
            for name, component in ready.items()
            if name.startswith(PRIOR_PREFIX)
        }
        decoder_ready = {
            name: ready[name] for name in cls.decoder_class.component_names if name in ready
        }
        given = backend_of(ready) if backend is None else backend
        chosen = chosen_backend(given, mesh, options.get("device"))
        check_ready(ready, chosen.name)
        options["backend"] = chosen
        require_quantizing(chosen, options.get("quantize"))
        # No network of a prior is kept in 8 bits.
        shared = {**options, "revision": prior_revision, "quantize": None}
        # A missing prior is noticed before gigabytes of decoder are fetched and read.
        of_prior = of_decoder.beside(
            prior or find_prior(of_decoder.checkpoint, cls.decoder_class.part),
            KandinskyV22PriorPipeline.part,
            HubOptions.among(shared),
        )
        # Neither is loaded where the device does not hold both.
        require_room_for_halves(
            chosen,
            Half(cls.decoder_class, of_decoder, options, decoder_ready),
            Half(KandinskyV22PriorPipeline, of_prior, shared, prior_ready, PRIOR_PREFIX),
        )
        decoder = cls.decoder_class.from_pretrained(of_decoder, **options, **decoder_ready)
        first = KandinskyV22PriorPipeline.from_pretrained(of_prior, **shared, **prior_ready)
        pipeline = cls(
            **decoder.components,
            **{PRIOR_PREFIX + name: value for name, value in first.components.items()},
        )
        named = {"prior": prior and of_prior.name, "prior_revision": prior_revision}
        names = {name: str(value) for name, value in named.items() if value is not None}
        pipeline.origin = pipeline.decoder_pipe.origin = decoder.origin | names
        pipeline.prior_pipe.origin = first.origin
        return pipeline

    @classmethod
    def download(cls, pretrained_model_name: str | Path, **options: Any) -> str:
        """Fetch both halves; see `DiffusionPipeline.download`. The decoder's folder is returned."""
        folder = cls.decoder_class.download(pretrained_model_name, **options)
        checkpoint = OpenedModel.of(
            folder, cls.decoder_class.part, HubOptions.among(known_options(options))
        ).checkpoint
        if PRIOR_PREFIX + "prior" not in checkpoint.components:
            prior = find_prior(checkpoint, cls.decoder_class.part)
            KandinskyV22PriorPipeline.download(prior, **options | {"revision": None})
        return folder

    def _request(
        self,
        prior: PriorRequest,
        decoder_negative_prompt: Any,
        ip_adapter_image: Any = None,
        ip_adapter_weights: Any = None,
        **arguments: Any,
    ) -> CombinedRequest:
        """Check the decoder's part of a call, before the prior has made the embeddings.

        Args:
            prior: The checked request to the prior.
            decoder_negative_prompt: The call's argument of this name.
            ip_adapter_image: The call's argument of this name.
            ip_adapter_weights: The call's argument of this name.
            **arguments: Arguments of the decoder's `prepare` beside the embeddings and the texts.

        Raises:
            InvalidInputError: The decoder refuses an argument.
        """
        texts = self._decoder_texts(prior.prompts, decoder_negative_prompt)
        decoder = self.decoder_pipe.prepare(
            **({} if texts is None else {"prompt": texts}),
            image_embeds=EmbedsToCome(prior.count),
            generator=prior.source,
            **arguments,
        )
        return CombinedRequest(
            call=prior.call,
            prior=prior,
            decoder=replace(decoder, call=prior.call),
            decoder_negatives=None if texts is None else texts.negatives,
            image_prompt=self.check_image_prompt(ip_adapter_image, ip_adapter_weights),
        )

    def _decoder_texts(self, prompts: Prompts, negative_prompt: Any) -> Prompts | None:
        """Return the texts that the decoder reads; None if it reads none.

        Raises:
            InvalidInputError: A decoder that reads no texts is given a negative prompt, or the
                numbers of texts differ.
        """
        if negative_prompt is not None:
            raise InvalidInputError(
                "decoder_negative_prompt: this decoder reads no text; negative_prompt goes to the "
                "prior"
            )
        return None

    def run(self, request: CombinedRequest) -> ImagePipelineOutput | tuple[Any, ...]:
        """Make the pictures of a call that `prepare` has checked.

        Args:
            request: What `prepare` of this pipeline returned.

        Raises:
            InvalidInputError: The request has been run before.
            NonFiniteError: A network gave NaN or infinity.
        """
        decoder = self.decoder_pipe
        with self._calls.running(request.call):
            embeds = self._mixed(self.prior_pipe.make(request.prior), request.image_prompt)
            output = decoder.make(decoder.with_embeds(request.decoder, *embeds))
        interrupted = output.interrupted
        prior = request.prior
        shared: dict[str, Any] = {
            "prior_num_inference_steps": prior.num_inference_steps,
            "prior_guidance_scale": prior.guidance_scale,
            **self.lora_facts,
            **({} if request.image_prompt is None else request.image_prompt.facts),
        }
        if prior.latents is not None:
            shared["latents"] = "given"
        if embeds.interrupted is not None:
            interrupted = shared["interrupted"] = {
                **(interrupted or {}),
                "prior": embeds.interrupted,
            }
        rows = zip(_texts(request), output.metadata, strict=True)
        metadata = [{**texts, **of_decoder, **shared} for texts, of_decoder in rows]
        made = ImagePipelineOutput(output.images, metadata, interrupted)
        return request.decoder.options.returned(made)

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Set options of both halves' tqdm bars, `disable=True` for example."""
        super().set_progress_bar_config(**settings)
        for half in (self.prior_pipe, self.decoder_pipe):
            half.set_progress_bar_config(**settings)


def _texts(request: CombinedRequest) -> list[dict[str, str | None]]:
    """Return the prompts of each picture, for its metadata."""
    prompts = request.prior.prompts
    nothing = [None] * len(prompts)
    columns = {"prompt": prompts.texts, "negative_prompt": prompts.negatives or nothing}
    if request.decoder_negatives is not None:
        columns["decoder_negative_prompt"] = request.decoder_negatives
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
        for _ in range(request.prior.copies)
    ]


def holds_prior(model: Checkpoint) -> bool:
    """Tell whether one folder has both halves, as a combined pipeline is saved."""
    return f"{PRIOR_PREFIX}prior" in model.components


def find_prior(decoder: Checkpoint, part: str) -> str:
    """Return the name of the prior that belongs to a decoder.

    Args:
        decoder: The decoder.
        part: The decoder's folder name in a model that holds the prior beside it.

    Raises:
        ModelNotFoundError: The decoder names no prior.
    """
    folder = decoder.folder
    both = folder.parent / "prior" / "model_index.json"
    found = connected_prior(folder)
    if found is None and folder.name == part and both.is_file():
        found = str(both.parent)
    if found is None and holds_prior(decoder):
        raise ModelNotFoundError(
            f"{decoder.name} holds both halves in one folder, and they are wanted apart here: "
            "give the folder of a prior with prior="
        )
    if found is None:
        raise ModelNotFoundError(
            f"{decoder.name} names no prior (a `prior:` entry in its README.md): "
            "give one with prior=, a folder or a hub id"
        )
    return found
