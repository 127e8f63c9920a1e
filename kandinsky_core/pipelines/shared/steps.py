"""What happens after each step of a call: the bar moves, the callback runs, `interrupt` ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.pipelines.shared.call_options import Callback, CallOptions
from kandinsky_core.pipelines.shared.stopping import Call
from kandinsky_core.seam.networks import DenoisingRun

__all__ = ["Steps"]

_LATENTS = "latents"


class Steps:
    """A function that the denoising loop calls after each step.

    Args:
        pipeline: The callback's first argument.
        call: The call that the loop belongs to.
        total: Number of steps that the loop takes unless it is stopped.
        conditioning: What the network reads beside the sample.
        options: The callback, and the names of what it gets.
        advance: Moves the progress bar by one.

    Attributes:
        taken: Number of steps that have been taken.
    """

    def __init__(
        self,
        pipeline: Any,
        call: Call,
        total: int,
        conditioning: Mapping[str, Array],
        options: CallOptions,
        advance: Callable[[], object],
    ) -> None:
        self.taken = 0
        self._pipeline = pipeline
        self._call = call
        self._total = total
        self._conditioning = dict(conditioning)
        self._options = options
        self._advance = advance

    def __call__(self, index: int, timestep: int, run: DenoisingRun) -> bool:
        """See `kandinsky_core.denoising.loop.OnStep`.

        Raises:
            InvalidInputError: The callback returned something that cannot be put back.
        """
        self.taken += 1
        self._advance()
        callback = self._options.callback
        if callback is not None:
            # Copies, as a callback may write into them.
            values = {_LATENTS: np.array(run.read())} | {
                name: np.array(self._conditioning[name])
                for name in self._options.names
                if name != _LATENTS
            }
            given = {name: values[name] for name in self._options.names}
            changed = callback(self._pipeline, index, timestep, given)
            self._put_back(run, callback, changed, values[_LATENTS].shape)
        return not self._call.stopping

    @property
    def interrupted(self) -> dict[str, int] | None:
        """How many steps were taken, of how many; None where none was left out."""
        if not self._call.stopping or self.taken >= self._total:
            return None
        return {"steps": self.taken, "of": self._total}

    def _put_back(
        self, run: DenoisingRun, callback: Callback, changed: Any, shape: tuple[int, ...]
    ) -> None:
        if changed is None:
            return
        who = f"callback_on_step_end ({_name_of(callback)})"
        names = (_LATENTS, *self._conditioning)
        if not isinstance(changed, Mapping):
            raise InvalidInputError(
                f"{who} returned {_kind(changed)}: return None, or a dict of arrays"
            )
        unknown = [name for name in changed if name not in names]
        if unknown:
            raise InvalidInputError(
                f"{who} returned {', '.join(map(repr, unknown))}: choose from {', '.join(names)}"
            )
        # All is checked before anything is put back.
        others = {
            name: _checked(who, name, changed[name], now.shape, now.dtype)
            for name, now in self._conditioning.items()
            if name in changed
        }
        if _LATENTS in changed:
            run.write(_checked_latents(who, changed[_LATENTS], shape, run))
        if any(not np.array_equal(others[name], self._conditioning[name]) for name in others):
            self._conditioning |= others
            run.condition(self._conditioning)


def _checked_latents(who: str, value: Any, shape: tuple[int, ...], run: DenoisingRun) -> Array:
    """Return latents to put back; what the network itself made is not the callback's fault."""
    latents = _as_dtype(who, _LATENTS, value, shape, np.dtype(np.float32))
    if not np.isfinite(latents).all() and np.isfinite(run.read()).all():
        raise InvalidInputError(f"{who} returned latents that hold NaN or infinity")
    return latents


def _checked(
    who: str, name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    array = _as_dtype(who, name, value, shape, dtype)
    if not np.isfinite(array).all():
        raise InvalidInputError(f"{who} returned {name} that holds NaN or infinity")
    return array


def _as_dtype(
    who: str, name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    try:
        array = as_array(name, value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            f"{who} returned {name} of {_kind(value)}, which is no array of numbers: return an "
            f"array of shape {shape}"
        ) from error
    if array.shape != shape:
        raise InvalidInputError(
            f"{who} returned {name} of shape {array.shape}: return an array of shape {shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # both are found in the result
        cast = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(cast, array):
        raise InvalidInputError(
            f"{who} returned {name} of dtype {array.dtype}: return values of {dtype}"
        )
    return cast


def _kind(value: Any) -> str:
    return repr(value) if isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"


def _name_of(callback: Any) -> str:
    return str(getattr(callback, "__qualname__", type(callback).__qualname__))
