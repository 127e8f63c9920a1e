"""How a caller watches the steps of a call, and in which form it gets the result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.outputs import PipelineOutput

__all__ = ["CallOptions", "Callback"]

# (pipeline, step, timestep, values) -> values to put back, as in diffusers.
Callback = Callable[[Any, int, int, dict[str, Array]], "Mapping[str, Array] | None"]

_Output = TypeVar("_Output", bound=PipelineOutput)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The three arguments of a call that change nothing of what it computes.

    Attributes:
        callback: Called after each step, or None.
        names: Names of the values that the callback gets.
        return_dict: Whether the call returns an output object; else it returns a plain tuple.
    """

    callback: Callback | None = None
    names: Sequence[str] = ()
    return_dict: bool = True

    @classmethod
    def check(
        cls,
        offered: Sequence[str],
        callback: Callback | None,
        names: Sequence[str] | None,
        return_dict: bool,
    ) -> Self:
        """Check the arguments of a call.

        Args:
            offered: The names that a callback of this pipeline may ask for.
            callback: The call's `callback_on_step_end`.
            names: The call's `callback_on_step_end_tensor_inputs`.
            return_dict: The call's argument of this name.

        Raises:
            InvalidInputError: The callback cannot be called, the names are no list, or a name is
                not on offer.
        """
        if callback is not None and not callable(callback):
            raise InvalidInputError(f"callback_on_step_end={callback!r} is not callable")
        return cls(callback, _checked_names(offered, names), bool(return_dict))

    def returned(self, output: _Output) -> _Output | tuple[Any, ...]:
        """Return the output in the form that the caller wants."""
        return output if self.return_dict else output.to_tuple()


def _checked_names(offered: Sequence[str], names: Any) -> tuple[str, ...]:
    argument = "callback_on_step_end_tensor_inputs"
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
