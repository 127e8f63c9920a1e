"""Choosing the pipeline by the task and by what a checkpoint says it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from kandinsky_core.checkpoint import Checkpoint
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.hub import HubOptions, resolve_model
from kandinsky_core.pipelines.base import DiffusionPipeline
from kandinsky_core.pipelines.combined import CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_1_combined import (
    KandinskyCombinedPipeline,
    KandinskyImg2ImgCombinedPipeline,
    KandinskyInpaintCombinedPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2_combined import KandinskyV22CombinedPipeline
from kandinsky_core.pipelines.kandinsky2_2_combined_image import (
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)

__all__ = [
    "AutoPipelineForImage2Image",
    "AutoPipelineForInpainting",
    "AutoPipelineForText2Image",
]


class _AutoPipeline:
    """Base: builds the pipeline of one task for a decoder's checkpoint.

    Attributes:
        task: For messages.
        part: The half of an embedded model that the task needs.
        pipelines: `_class_name` of the decoder's model_index.json -> pipeline.
    """

    task: ClassVar[str]
    part: ClassVar[str] = "decoder"
    pipelines: ClassVar[dict[str, type[CombinedPipeline]]]

    def __init__(self) -> None:
        raise InvalidInputError(
            f"{type(self).__name__} is not constructed: call {type(self).__name__}.from_pretrained"
        )

    @classmethod
    def from_pretrained(cls, model: str | Path, **options: Any) -> Any:
        """Load the pipeline of a checkpoint.

        Args:
            model: `shapes`, a decoder's folder, or its hub id.
            **options: As for the pipeline's own `from_pretrained`.

        Raises:
            CheckpointError: The checkpoint is of a class that does not do this task.
            KandinskyError: As for the pipeline's own `from_pretrained`.
        """
        folder = resolve_model(model, cls.part, HubOptions.among(options), ())
        found = Checkpoint.open(folder, name=str(model)).pipeline_class
        if found not in cls.pipelines:
            hint = "; it is a prior: give its decoder instead" if "Prior" in found else ""
            raise CheckpointError(
                f"{model} is a {found}, which makes no pictures {cls.task}{hint}; "
                f"supported: {', '.join(cls.pipelines)}"
            )
        return cls.pipelines[found].from_pretrained(model, **options)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline) -> Any:
        """Make the pipeline of this task from a loaded one of another; they share the networks.

        Args:
            pipeline: A combined pipeline, as the `AutoPipelineFor...` classes build them.

        Raises:
            InvalidInputError: It is not one of those.
            ConfigError: Its UNet was trained for another task.
        """
        if not isinstance(pipeline, CombinedPipeline):
            raise InvalidInputError(
                f"from_pipe takes what an AutoPipelineFor... class built, not a "
                f"{type(pipeline).__name__}"
            )
        family = {made.decoder_class.reads_text: made for made in cls.pipelines.values()}
        made = family[pipeline.decoder_class.reads_text](**pipeline.components)
        made.origin = made.decoder_pipe.origin = pipeline.origin
        return made


class AutoPipelineForText2Image(_AutoPipeline):
    """Builds the pipeline that goes from prompt to picture."""

    task: ClassVar[str] = "from text"
    pipelines: ClassVar[dict[str, type[CombinedPipeline]]] = {
        "KandinskyV22Pipeline": KandinskyV22CombinedPipeline,
        "KandinskyPipeline": KandinskyCombinedPipeline,
    }


class AutoPipelineForImage2Image(_AutoPipeline):
    """Builds the pipeline that goes from prompt and picture to picture."""

    task: ClassVar[str] = "from pictures"
    pipelines: ClassVar[dict[str, type[CombinedPipeline]]] = {
        "KandinskyV22Pipeline": KandinskyV22Img2ImgCombinedPipeline,
        "KandinskyPipeline": KandinskyImg2ImgCombinedPipeline,
    }


class AutoPipelineForInpainting(_AutoPipeline):
    """Builds the pipeline that repaints the masked part of a picture."""

    task: ClassVar[str] = "by inpainting"
    part: ClassVar[str] = "inpaint"
    pipelines: ClassVar[dict[str, type[CombinedPipeline]]] = {
        "KandinskyV22InpaintPipeline": KandinskyV22InpaintCombinedPipeline,
        "KandinskyInpaintPipeline": KandinskyInpaintCombinedPipeline,
    }
