"""The adapters (LoRA) of a served model: loaded once, chosen anew for each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kandinsky_core.checkpoints.lora_sources import require_lora_name
from kandinsky_core.errors import CheckpointError, InvalidInputError

__all__ = ["Adapters"]


class Adapters:
    """Loads adapters into pipelines and lets those of a request count.

    Scales are values: a change merges the weights anew and compiles nothing.

    Args:
        files: Name -> file, folder or hub id, as `load_lora_weights` takes it.

    Raises:
        InvalidInputError: There is no such file.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        for name, path in files.items():
            try:
                require_lora_name(path)
            except (InvalidInputError, CheckpointError) as error:
                raise InvalidInputError(f"--lora {name}: {error}") from error

    @property
    def names(self) -> Sequence[str]:
        """Their names, in the order in which they are added to the weights."""
        return tuple(self._files)

    def load(self, pipeline: Any, *, required: bool) -> None:
        """Load all adapters into a pipeline, and switch them off.

        Args:
            pipeline: The pipeline.
            required: Whether each must fit. One that does not fit another task's networks is
                refused when a request names it.

        Raises:
            KandinskyError: An adapter is damaged or does not fit, and is required.
        """
        for name, path in self._files.items():
            try:
                pipeline.load_lora_weights(path, adapter_name=name)
            except CheckpointError as error:
                if required:
                    raise CheckpointError(f"--lora {name}: {error}") from error
        if self._files:
            pipeline.disable_lora()

    @staticmethod
    def choose(pipeline: Any, chosen: Sequence[tuple[str, float]]) -> None:
        """Let these adapters count at these scales, and no others.

        Raises:
            InvalidInputError: One does not fit the networks of this task.
        """
        if not chosen:
            pipeline.disable_lora()
            return
        loaded = {name for names in pipeline.get_list_adapters().values() for name in names}
        for name, _ in chosen:
            if name not in loaded:
                raise InvalidInputError(f"lora: {name} was trained for another task's networks")
        pipeline.set_adapters([name for name, _ in chosen], [scale for _, scale in chosen])
        pipeline.enable_lora()
