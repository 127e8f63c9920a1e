"""Hand-written loops of schedulers whose step follows from its timestep alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.hand_loop import HandLoop
from kandinsky_core.schedulers.outside_arrays import scalar
from kandinsky_core.schedulers.schedule import Schedule

__all__ = ["TimestepLoop"]


class TimestepLoop(HandLoop):
    """A loop that may take its steps in any order, as nothing is remembered between them."""

    @abstractmethod
    def _single(self, timestep: int) -> Schedule:
        """Return the schedule of the one step that begins at a training timestep."""

    def _checked(self, timestep: Any) -> int:
        """Return a training timestep as an integer."""
        number, last = scalar("timestep", timestep), len(self) - 1
        if number != int(number) or not 0 <= number <= last:
            raise InvalidInputError(f"timestep={timestep!r}: give an integer from 0 to {last}")
        return int(number)

    def _evaluation(self, timestep: Any) -> tuple[Schedule, int]:
        return self._single(self._checked(timestep)), 0

    def _passed(self, remembered: Any) -> None:
        """Remember nothing."""
