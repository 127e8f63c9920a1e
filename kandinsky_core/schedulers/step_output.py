"""What a step of a hand-written loop returns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

__all__ = ["SchedulerOutput"]


@dataclass(frozen=True, slots=True)
class SchedulerOutput:
    """The result of `Scheduler.step`; its parts have names, and numbers as in a tuple.

    Attributes:
        prev_sample: The sample of the next timestep, which is the network's next input.
        pred_original_sample: The clean sample that the network's output stands for.
        denoised: LCM's estimate of the clean sample; None for other schedulers.
    """

    prev_sample: Any
    pred_original_sample: Any
    denoised: Any = None

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in {entry.name for entry in fields(self)}:
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the parts that are there, in order."""
        parts = (self.prev_sample, self.pred_original_sample, self.denoised)
        return tuple(part for part in parts if part is not None)
