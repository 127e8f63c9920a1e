"""Choosing the pipeline by what a checkpoint says it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from kandinsky_core.checkpoint import Checkpoint
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.hub import HubOptions, resolve_model
from kandinsky_core.pipelines.base import DiffusionPipeline
from kandinsky_core.pipelines.kandinsky2_2_combined import KandinskyV22CombinedPipeline

__all__ = ["AutoPipelineForText2Image"]


class AutoPipelineForText2Image:
    """Builds the pipeline that goes from prompt to picture for a decoder's checkpoint."""

    # `_class_name` of the decoder's model_index.json -> pipeline
    pipelines: ClassVar[dict[str, type[DiffusionPipeline]]] = {
        "KandinskyV22Pipeline": KandinskyV22CombinedPipeline,
    }

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
            CheckpointError: The checkpoint is of a class that makes no pictures from text.
            KandinskyError: As for the pipeline's own `from_pretrained`.
        """
        folder = resolve_model(model, "decoder", HubOptions.among(options), ())
        found = Checkpoint.open(folder, name=str(model)).pipeline_class
        if found not in cls.pipelines:
            hint = "; it is a prior: give its decoder instead" if "Prior" in found else ""
            raise CheckpointError(
                f"{model} is a {found}, which makes no pictures from text{hint}; "
                f"supported: {', '.join(cls.pipelines)}"
            )
        return cls.pipelines[found].from_pretrained(model, **options)
