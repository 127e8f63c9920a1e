"""Chooses a pipeline by the task and by the class that a checkpoint names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.pipelines.kandinsky2_0.decoder import Kandinsky20Decoder
from kandinsky_core.pipelines.kandinsky2_0.image_to_image import Kandinsky20Img2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_0.inpainting import Kandinsky20InpaintPipeline
from kandinsky_core.pipelines.kandinsky2_0.text_to_image import Kandinsky20Pipeline
from kandinsky_core.pipelines.kandinsky2_1.combined import (
    KandinskyCombinedPipeline,
    KandinskyImg2ImgCombinedPipeline,
    KandinskyInpaintCombinedPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.combined import KandinskyV22CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.pipelines.kandinsky3.control import ControlDecoder
from kandinsky_core.pipelines.kandinsky3.controlnet import Kandinsky3ControlNetPipeline
from kandinsky_core.pipelines.kandinsky3.controlnet_image_to_image import (
    Kandinsky3ControlNetImg2ImgPipeline,
)
from kandinsky_core.pipelines.kandinsky3.controlnet_inpainting import (
    Kandinsky3ControlNetInpaintPipeline,
)
from kandinsky_core.pipelines.kandinsky3.decoder import Kandinsky3Decoder
from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline
from kandinsky_core.pipelines.kandinsky3.image_to_image import Kandinsky3Img2ImgPipeline
from kandinsky_core.pipelines.kandinsky3.inpainting import Kandinsky3InpaintPipeline
from kandinsky_core.pipelines.kandinsky3.text_to_image import Kandinsky3Pipeline
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.pipelines.shared.foreign_options import model_by_name

__all__ = [
    "AutoPipelineForImage2Image",
    "AutoPipelineForInpainting",
    "AutoPipelineForText2Image",
]


# How the pipelines are called whose networks do a task; any of them may have been saved.
_WHOLE = ("", "Img2Img")
_THIRD = (*_WHOLE, "ControlNet", "ControlNetImg2Img")
_WITHOUT_MASK = (*_WHOLE, "Combined", "Img2ImgCombined")
_MASKED = ("Inpaint", "InpaintCombined")


def _named_by(
    family: str, kinds: Iterable[str], made: type[DiffusionPipeline]
) -> dict[str, type[DiffusionPipeline]]:
    """Return the pipeline that is made, by the classes that a model may name for it."""
    return {f"{family}{kind}Pipeline": made for kind in kinds}


class _AutoPipeline:
    """Base of the `AutoPipelineFor...` classes; each builds the pipelines of one task.

    Attributes:
        task: The task in words, for messages.
        part: The half of an embedded model that the task needs.
        pipelines: `_class_name` of the decoder's model_index.json -> pipeline.
        controlled: The pipeline of Kandinsky 3 that does the task with a ControlNet.
    """

    task: ClassVar[str]
    part: ClassVar[str] = "decoder"
    pipelines: ClassVar[dict[str, type[DiffusionPipeline]]]
    controlled: ClassVar[type[ControlDecoder]]

    def __init__(self) -> None:
        raise InvalidInputError(
            f"{type(self).__name__} is not constructed: call {type(self).__name__}.from_pretrained"
        )

    @classmethod
    @model_by_name
    def from_pretrained(cls, model: str | Path | OpenedModel, **options: Any) -> Any:
        """Load the pipeline that does this task with a checkpoint.

        Args:
            model: `shapes`, the folder of a decoder or of Kandinsky 2.0 or 3, or a hub id.
            **options: Further arguments of the pipeline's own `from_pretrained`. With `controlnet=`
                it is the pipeline of Kandinsky 3 that takes a hint.

        Raises:
            CheckpointError: The pipeline that the checkpoint names does not do this task.
            KandinskyError: See the pipeline's own `from_pretrained`.
        """
        opened = OpenedModel.of(model, cls.part, HubOptions.among(options))
        made = cls.pipeline_class(opened)
        if options.get("controlnet") is not None and issubclass(made, Kandinsky3Decoder):
            made = cls.controlled
        return made.from_pretrained(opened, **options)

    @classmethod
    def pipeline_class(
        cls, model: str | Path | OpenedModel, **options: Any
    ) -> type[DiffusionPipeline]:
        """Return the pipeline's class; arguments and errors are those of `from_pretrained`."""
        opened = OpenedModel.of(model, cls.part, HubOptions.among(options))
        found = opened.pipeline_class
        if found not in cls.pipelines:
            hint = "; it is a prior: give its decoder instead" if "Prior" in found else ""
            raise CheckpointError(
                f"{opened.name} is a {found}, which makes no pictures {cls.task}{hint}; "
                f"supported: {', '.join(cls.pipelines)}"
            )
        made = cls.pipelines[found]
        return cls.controlled if "3ControlNet" in found else made

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **options: Any) -> Any:
        """Make the pipeline of this task from a loaded one of another; they share the networks.

        Args:
            pipeline: A pipeline of any task of Kandinsky 2 or 3. A decoder of 2.1 or 2.2 alone
                lacks the prior: give its components as `prior_prior=` and so on.
            **options: As for the pipeline's own `from_pipe`: components to take in place of those
                of `pipeline`, and `torch_dtype`.

        Raises:
            InvalidInputError: `pipeline` is none of these, or a component is missing.
            ConfigError: The pipeline's UNet was trained for another task.
        """
        made = cls._class_for(pipeline)
        if isinstance(pipeline, Kandinsky3Decoder):
            kept = isinstance(pipeline, ControlDecoder) and "controlnet" not in options
            if kept or options.get("controlnet") is not None:
                made = cls.controlled
            else:
                options.pop("controlnet", None)
        return made.from_pipe(pipeline, **options)

    @classmethod
    def _class_for(cls, pipeline: Any) -> type[DiffusionPipeline]:
        """Return the class of this task in the family of a pipeline."""
        made = cls.pipelines.values()
        for family in (Kandinsky20Decoder, Kandinsky3Decoder):
            if isinstance(pipeline, family):
                made_of = [one for one in made if issubclass(one, family)]
                own = type(pipeline) in made_of and not isinstance(pipeline, ControlDecoder)
                return type(pipeline) if own else made_of[0]
        if isinstance(pipeline, CombinedPipeline):
            decoder: type[Any] = pipeline.decoder_class
        elif isinstance(pipeline, EmbeddingDecoder):
            decoder = type(pipeline)
        else:
            raise InvalidInputError(
                f"{cls.__name__}.from_pipe takes a pipeline that makes pictures, not a "
                f"{type(pipeline).__name__}"
            )
        combined = [one for one in made if issubclass(one, CombinedPipeline)]
        readers = {one.decoder_class.reads_text: one for one in combined}
        return readers[decoder.reads_text]


class AutoPipelineForText2Image(_AutoPipeline):
    """Builds the pipeline that goes from prompt to picture."""

    task: ClassVar[str] = "from text"
    controlled: ClassVar[type[ControlDecoder]] = Kandinsky3ControlNetPipeline
    pipelines: ClassVar[dict[str, type[DiffusionPipeline]]] = {
        **_named_by("KandinskyV22", _WITHOUT_MASK, KandinskyV22CombinedPipeline),
        **_named_by("Kandinsky", _WITHOUT_MASK, KandinskyCombinedPipeline),
        **_named_by("Kandinsky20", _WHOLE, Kandinsky20Pipeline),
        **_named_by("Kandinsky3", _THIRD, Kandinsky3Pipeline),
        "Kandinsky3FlashPipeline": Kandinsky3FlashPipeline,
    }


class AutoPipelineForImage2Image(_AutoPipeline):
    """Builds the pipeline that goes from prompt and picture to picture."""

    task: ClassVar[str] = "from pictures"
    controlled: ClassVar[type[ControlDecoder]] = Kandinsky3ControlNetImg2ImgPipeline
    pipelines: ClassVar[dict[str, type[DiffusionPipeline]]] = {
        **_named_by("KandinskyV22", _WITHOUT_MASK, KandinskyV22Img2ImgCombinedPipeline),
        **_named_by("Kandinsky", _WITHOUT_MASK, KandinskyImg2ImgCombinedPipeline),
        **_named_by("Kandinsky20", _WHOLE, Kandinsky20Img2ImgPipeline),
        **_named_by("Kandinsky3", _THIRD, Kandinsky3Img2ImgPipeline),
    }


class AutoPipelineForInpainting(_AutoPipeline):
    """Builds the pipeline that repaints the masked part of a picture."""

    task: ClassVar[str] = "by inpainting"
    controlled: ClassVar[type[ControlDecoder]] = Kandinsky3ControlNetInpaintPipeline
    part: ClassVar[str] = "inpaint"
    pipelines: ClassVar[dict[str, type[DiffusionPipeline]]] = {
        **_named_by("KandinskyV22", _MASKED, KandinskyV22InpaintCombinedPipeline),
        **_named_by("Kandinsky", _MASKED, KandinskyInpaintCombinedPipeline),
        "Kandinsky20InpaintPipeline": Kandinsky20InpaintPipeline,
        **_named_by("Kandinsky3", ("Inpaint", "ControlNetInpaint"), Kandinsky3InpaintPipeline),
    }
