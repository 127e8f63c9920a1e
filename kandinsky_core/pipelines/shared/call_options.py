"""How a caller watches the steps of a call, and in which form it gets the result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.torch_tensors import as_torch
from kandinsky_core.pipelines.shared.callback_tensors import uses_torch
from kandinsky_core.pipelines.shared.outputs import PipelineOutput
from kandinsky_core.validation import positive_int

__all__ = ["PREDICTED", "CallOptions", "Callback", "OldCallback"]

PREDICTED = "pred_original_sample"
"""The clean sample that a step predicted, by diffusers' name; callbacks may ask for it."""

logger = logging.getLogger(__name__)

# (pipeline, step, timestep, values) -> values to put back, as in diffusers.
Callback = Callable[[Any, int, int, dict[str, Array]], "Mapping[str, Array] | None"]

# (step, timestep, latents), as in older versions of diffusers.
OldCallback = Callable[[int, int, Array], None]

_Output = TypeVar("_Output", bound=PipelineOutput)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The arguments of a call that change nothing of what it computes.

    Attributes:
        callback: Called after each step, or None.
        names: Names of the values that the callback gets.
        return_dict: Whether the call returns an output object; else it returns a plain tuple.
        old_callback: diffusers' older form, called as `callback(step, timestep, latents)`; or None.
        callback_steps: At how many steps the old callback is called once.
        as_tensors: Whether callbacks get PyTorch tensors; else they get NumPy arrays.
    """

    callback: Callback | None = None
    names: Sequence[str] = ()
    return_dict: bool = True
    old_callback: OldCallback | None = None
    callback_steps: int = 1
    as_tensors: bool = False

    @classmethod
    def check(
        cls,
        offered: Sequence[str],
        callback: Callback | None,
        names: Sequence[str] | None,
        return_dict: bool,
        old_callback: OldCallback | None = None,
        callback_steps: int | None = None,
    ) -> Self:
        """Check the arguments of a call.

        Args:
            offered: The names that a callback of this pipeline may ask for.
            callback: The call's `callback_on_step_end`. Where it has `tensor_inputs`, as diffusers'
                `PipelineCallback` has, it gets the values of these names too.
            names: The call's `callback_on_step_end_tensor_inputs`.
            return_dict: The call's argument of this name.
            old_callback: The call's `callback`.
            callback_steps: The call's argument of this name; None is 1.

        Raises:
            InvalidInputError: A callback cannot be called, the names are no list, a name is not on
                offer, or `callback_steps` is no number of steps.
        """
        for argument, given in (("callback_on_step_end", callback), ("callback", old_callback)):
            if given is not None and not callable(given):
                raise InvalidInputError(f"{argument}={given!r} is not callable")
        if old_callback is not None:
            logger.warning("callback= is deprecated in diffusers: take callback_on_step_end=")
        asked = _checked_names(offered, names, "callback_on_step_end_tensor_inputs")
        own = getattr(callback, "tensor_inputs", None)
        if own is not None:
            asked += _checked_names(offered, own, "tensor_inputs of callback_on_step_end")
        return cls(
            callback,
            tuple(dict.fromkeys(asked)),
            bool(return_dict),
            old_callback,
            1 if callback_steps is None else positive_int("callback_steps", callback_steps),
            uses_torch(callback) or uses_torch(old_callback),
        )

    def shown(self, value: Any) -> Any:
        """Return an array or a number as callbacks get it; a tensor shares the array's memory."""
        if value is None or not self.as_tensors:
            return value
        return as_torch(np.asarray(value))

    def returned(self, output: _Output) -> _Output | tuple[Any, ...]:
        """Return the output in the form that the caller wants."""
        return output if self.return_dict else output.to_tuple()


def _checked_names(offered: Sequence[str], names: Any, argument: str) -> tuple[str, ...]:
    if names is None:
        return ()
    if isinstance(names, (str, bytes)) or not isinstance(names, Collection):
        raise InvalidInputError(f"{argument}={names!r}: give a list of {', '.join(offered)}")
    wrong = [name for name in names if not isinstance(name, str) or name not in offered]
    if wrong:
        raise InvalidInputError(
            f"{argument} names {', '.join(map(repr, wrong))}: choose from {', '.join(offered)}"
        )
    return tuple(names)
