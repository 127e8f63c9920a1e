"""What a pipeline tells of its calls: the guidance, the number of steps, and whether they stop.

The names are diffusers'. There a pipeline has one state; here each call has its own, which a
callback sees and changes. Between calls the pipeline shows what its last call left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kandinsky_core.pipelines.shared.stopping import Call, Calls
from kandinsky_core.validation import real_number

__all__ = ["CallState", "Interrupt", "LoopState"]


@dataclass(slots=True)
class LoopState:
    """The state of one denoising loop.

    Attributes:
        guidance_scale: Weight of guidance from the next step on, in the units of the call.
        num_timesteps: Number of steps of the loop; None before any loop has begun.
    """

    guidance_scale: float
    num_timesteps: int | None = None


class Interrupt:
    """Stops calls when it is called, and is true while the present call is to stop.

    diffusers' `pipe.interrupt` is a flag and ours was a method first; this is both.
    """

    __slots__ = ("_calls",)

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __call__(self) -> None:
        """See `CallState.interrupt`."""
        self._calls.stop()

    def __bool__(self) -> bool:
        return self._calls.stopping

    def __repr__(self) -> str:
        return f"<interrupt: {bool(self)}; call it to stop>"


class CallState:
    """Base of the pipelines: shows and changes the state of their calls."""

    _calls: Calls
    _last_loop: LoopState | None = None

    @property
    def interrupt(self) -> Interrupt:
        """`pipe.interrupt()` stops at the end of the present step; `pipe.interrupt` is the flag.

        A callback stops the call that it belongs to. Another thread stops all calls that are under
        way now; `prepare(...)` returns a request whose `interrupt()` stops one call alone. A call
        that starts later is not stopped.

        A call that is stopped skips its remaining steps and returns what it has. Its output and
        the metadata of its pictures say so in `interrupted`.
        """
        return Interrupt(self._calls)

    @property
    def _interrupt(self) -> bool:
        """diffusers' way of saying `interrupt()`: a callback sets `pipe._interrupt = True`."""
        return self._calls.stopping

    @_interrupt.setter
    def _interrupt(self, value: bool) -> None:
        if value:
            self._calls.stop()
        else:
            self._calls.go_on()

    @property
    def guidance_scale(self) -> float:
        """Weight of guidance of the present call; between calls, of the last one.

        Raises:
            AttributeError: The pipeline has not been called.
        """
        return self._present_loop("guidance_scale").guidance_scale

    @property
    def _guidance_scale(self) -> float:
        """diffusers' way of changing guidance: a callback sets `pipe._guidance_scale = 0.0`."""
        return self.guidance_scale

    @_guidance_scale.setter
    def _guidance_scale(self, value: Any) -> None:
        """Set the guidance of the present call; elsewhere, of all calls that are under way.

        Raises:
            InvalidInputError: The value is no finite number.
        """
        holds_one = getattr(value, "ndim", None) == 0  # an array of one number, PyTorch's too
        scale = real_number("_guidance_scale", value.item() if holds_one else value)
        owner = self._loop_owner
        loops = [call.loops.get(id(owner)) for call in owner._calls.affected()]
        for loop in loops:
            if loop is not None:
                loop.guidance_scale = scale
        if not any(loops):
            last = owner._last_loop
            owner._last_loop = LoopState(scale, None if last is None else last.num_timesteps)

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether guidance is on, that is above 1; see `guidance_scale`."""
        return self._present_loop("do_classifier_free_guidance").guidance_scale > 1

    @property
    def num_timesteps(self) -> int:
        """Number of steps of the present call; between calls, of the last one.

        Raises:
            AttributeError: The pipeline has not been called.
        """
        found = self._present_loop("num_timesteps").num_timesteps
        if found is None:
            raise AttributeError(
                f"{type(self).__name__} has no num_timesteps before its first call"
            )
        return found

    @property
    def _loop_owner(self) -> CallState:
        """The pipeline whose loop counts: of a combined one, the decoder."""
        return self

    def _present_loop(self, name: str) -> LoopState:
        owner = self._loop_owner
        call = owner._calls.current
        loop = None if call is None else call.loops.get(id(owner))
        loop = loop or owner._last_loop
        if loop is None:
            raise AttributeError(f"{type(self).__name__} has no {name} before its first call")
        return loop

    def _begin_loop(self, call: Call, guidance_scale: float, steps: int) -> LoopState:
        """Give a call the state of a loop that begins, which stays as the pipeline's last one."""
        loop = LoopState(guidance_scale, steps)
        call.loops[id(self)] = self._last_loop = loop
        return loop
