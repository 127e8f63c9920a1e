"""What happens after each step of a call: the bar moves, callbacks run, `interrupt` ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.pipelines.shared.call_options import PREDICTED, CallOptions
from kandinsky_core.pipelines.shared.call_state import LoopState
from kandinsky_core.pipelines.shared.callback_values import LoopValues, checked_as, kind_of
from kandinsky_core.pipelines.shared.stopping import Call
from kandinsky_core.seam.networks import DenoisingRun

__all__ = ["Steps"]

_LATENTS = "latents"


class Steps:
    """A function that the denoising loop calls after each step.

    Args:
        pipeline: The callback's first argument.
        call: The call that the loop belongs to.
        state: The state of the loop, which a callback may change.
        total: Number of steps that the loop takes unless it is stopped.
        values: What the network reads beside the sample.
        options: The callbacks, and the names of what they get.
        advance: Moves the progress bar by one.

    Attributes:
        taken: Number of steps that have been taken.
        values: As above; a callback may have changed them.
    """

    def __init__(
        self,
        pipeline: Any,
        call: Call,
        state: LoopState,
        total: int,
        values: LoopValues,
        options: CallOptions,
        advance: Callable[[], object],
    ) -> None:
        self.taken = 0
        self.values = values
        self._pipeline = pipeline
        self._call = call
        self._state = state
        self._given = state.guidance_scale
        self._weight = pipeline._weight_in_loop(self._given, self._given)
        self._total = total
        self._options = options
        self._advance = advance

    def __call__(self, index: int, timestep: int, run: DenoisingRun) -> bool:
        """See `kandinsky_core.denoising.loop.OnStep`.

        Raises:
            InvalidInputError: The callback returned something that cannot be put back.
        """
        self.taken += 1
        self._advance()
        who, changed = self._call_back(index, timestep, run)
        self._call_old(index, timestep, run)
        weight = self._pipeline._weight_in_loop(self._given, self._state.guidance_scale)
        if self.values.put_back(who, changed, weight > 1) or weight != self._weight:
            self._weight = weight
            run.condition(self.values.arrays, guidance_scale=weight, kept=self.values.kept)
        return not self._call.stopping

    @property
    def interrupted(self) -> dict[str, int] | None:
        """How many steps were taken, of how many; None where none was left out."""
        if not self._call.stopping or self.taken >= self._total:
            return None
        return {"steps": self.taken, "of": self._total}

    def _call_back(
        self, index: int, timestep: int, run: DenoisingRun
    ) -> tuple[str, Mapping[str, Any]]:
        """Call `callback_on_step_end`, and return its name and what it changed but the latents."""
        callback = self._options.callback
        if callback is None:
            return "a callback", {}
        latents = np.array(run.read())
        shown = self._options.shown
        given = {name: shown(self._value(name, latents, run)) for name in self._options.names}
        changed = callback(self._pipeline, index, shown(timestep), given)
        who = f"callback_on_step_end ({_name_of(callback)})"
        if changed is None:
            return who, {}
        names = (_LATENTS, *self.values)
        if not isinstance(changed, Mapping):
            raise InvalidInputError(
                f"{who} returned {kind_of(changed)}: return None, or a dict of arrays"
            )
        unknown = [name for name in changed if name not in names]
        if unknown:
            raise InvalidInputError(
                f"{who} returned {', '.join(map(repr, unknown))}: choose from {', '.join(names)}"
            )
        if _LATENTS in changed:
            _write_latents(who, changed[_LATENTS], latents.shape, run)
        return who, {name: value for name, value in changed.items() if name != _LATENTS}

    def _value(self, name: str, latents: Array, run: DenoisingRun) -> Array | None:
        if name == PREDICTED:
            return run.predicted()
        return latents if name == _LATENTS else self.values.read(name)

    def _call_old(self, index: int, timestep: int, run: DenoisingRun) -> None:
        """Call `callback`; as in diffusers, it may write into the latents but returns nothing."""
        callback = self._options.old_callback
        if callback is None or index % self._options.callback_steps:
            return
        before = np.array(run.read())
        given = self._options.shown(before.copy())
        callback(index, self._options.shown(timestep), given)
        if not np.array_equal(as_array(_LATENTS, given), before, equal_nan=True):
            _write_latents(f"callback ({_name_of(callback)})", given, before.shape, run)


def _write_latents(who: str, value: Any, shape: tuple[int, ...], run: DenoisingRun) -> None:
    """Put latents back; what the network itself made is not the callback's fault."""
    latents = checked_as(who, _LATENTS, value, shape, np.dtype(np.float32))
    if not np.isfinite(latents).all() and np.isfinite(run.read()).all():
        raise InvalidInputError(f"{who} returned latents that hold NaN or infinity")
    run.write(latents)


def _name_of(callback: Any) -> str:
    return str(getattr(callback, "__qualname__", type(callback).__qualname__))
