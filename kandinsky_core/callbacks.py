"""Callbacks of a class, where scripts written for `diffusers.callbacks` look for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

from kandinsky_core.errors import InvalidInputError

__all__ = ["MultiPipelineCallbacks", "PipelineCallback", "SDCFGCutoffCallback"]


class PipelineCallback:
    """Base of the callbacks that say themselves which values they want.

    A subclass has `tensor_inputs`, and `callback_fn(pipeline, step, timestep, values)`, which
    returns the values to put back.

    Attributes:
        tensor_inputs: Names of the values that the callback gets.
        config: The arguments of the constructor, by attribute.
    """

    tensor_inputs: ClassVar[Sequence[str]] = ()

    def __init__(
        self, cutoff_step_ratio: float | None = 1.0, cutoff_step_index: int | None = None
    ) -> None:
        """Say at which step the callback acts.

        Args:
            cutoff_step_ratio: The step as a share of all steps, a float from 0 to 1; or None.
            cutoff_step_index: The number of the step, from 0; or None.

        Raises:
            InvalidInputError: Both are given or neither is, or the share is no float from 0 to 1.
        """
        if (cutoff_step_ratio is None) == (cutoff_step_index is None):
            raise InvalidInputError(
                f"cutoff_step_ratio={cutoff_step_ratio!r}, cutoff_step_index="
                f"{cutoff_step_index!r}: give one of them, and None for the other"
            )
        ratio = cutoff_step_ratio
        if ratio is not None and not (isinstance(ratio, float) and 0 <= ratio <= 1):
            raise InvalidInputError(f"cutoff_step_ratio={ratio!r}: give a float from 0.0 to 1.0")
        self.config = SimpleNamespace(cutoff_step_ratio=ratio, cutoff_step_index=cutoff_step_index)

    def callback_fn(
        self, pipeline: Any, step_index: int, timestep: Any, callback_kwargs: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Act after a step, and return the values to put back; a subclass says how."""
        raise NotImplementedError(f"{type(self).__name__} needs a method callback_fn")

    def __call__(
        self, pipeline: Any, step_index: int, timestep: Any, callback_kwargs: dict[str, Any]
    ) -> Mapping[str, Any]:
        return self.callback_fn(pipeline, step_index, timestep, callback_kwargs)


class MultiPipelineCallbacks:
    """Several callbacks as one: each gets what the one before it returned."""

    def __init__(self, callbacks: Sequence[PipelineCallback]) -> None:
        self.callbacks = callbacks

    @property
    def tensor_inputs(self) -> list[str]:
        """Names of the values that the callbacks get."""
        return [name for callback in self.callbacks for name in callback.tensor_inputs]

    def __call__(self, pipeline: Any, step_index: int, timestep: Any, callback_kwargs: Any) -> Any:
        for callback in self.callbacks:
            callback_kwargs = callback(pipeline, step_index, timestep, callback_kwargs)
        return callback_kwargs


class SDCFGCutoffCallback(PipelineCallback):
    """Switches guidance off after a step; of the pipelines here, those of Kandinsky 3 take it.

    Source: diffusers' class of this name. Difference: each prompt of a batch keeps its embeddings.
    """

    tensor_inputs: ClassVar[Sequence[str]] = ("prompt_embeds",)

    def callback_fn(
        self, pipeline: Any, step_index: int, timestep: Any, callback_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Take the conditional half of the embeddings at the step, and switch guidance off."""
        index = self.config.cutoff_step_index
        if index is None:
            index = int(pipeline.num_timesteps * self.config.cutoff_step_ratio)
        if step_index == index and pipeline.do_classifier_free_guidance:
            embeds = callback_kwargs["prompt_embeds"]
            callback_kwargs["prompt_embeds"] = embeds[len(embeds) // 2 :]
            pipeline._guidance_scale = 0.0
        return callback_kwargs
