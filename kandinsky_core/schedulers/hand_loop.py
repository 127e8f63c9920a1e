"""A loop that its user writes by hand: `set_timesteps`, then `step` for each timestep.

A scheduler is an immutable config, so that pipelines and threads share it. The state of a
hand-written loop is a value beside the fields. Each call replaces it as a whole, comparisons leave
it out, and no pipeline reads it. Like an open file, one scheduler serves one such loop at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.coefficients import variance_preserving
from kandinsky_core.schedulers.hand_step import NoiseSource, row_columns, same_shape, take_step
from kandinsky_core.schedulers.outside_arrays import (
    float32_array,
    is_torch,
    like,
    scalar,
    times_like,
)
from kandinsky_core.schedulers.schedule import ROW_FIELDS, Schedule
from kandinsky_core.schedulers.step_output import SchedulerOutput

__all__ = ["HandLoop"]

_INPUT_SCALE = ROW_FIELDS.index("input_scale")
_UNSUPPORTED = {
    "mu": "no model here shifts its timesteps",
    "sigmas": "the config decides on the noise levels",
    "timesteps": "the config decides on the timesteps",
}


@dataclass(frozen=True, slots=True, eq=False)
class LoopState:
    """Where a hand-written loop stands.

    Attributes:
        whole: The schedule of all steps.
        steps: The number of steps that was asked for.
        device: What `set_timesteps` was given as device.
        begin: Index of the first evaluation of the network, if `set_begin_index` said it.
        taken: The schedule from the first evaluation that was taken on.
        first: Index of that evaluation.
        index: Index of the next evaluation; None before the first.
        remembered: See `step` in `kandinsky_core/schedulers/schedule.py`.
    """

    whole: Schedule
    steps: int
    device: Any = None
    begin: int | None = None
    taken: Schedule | None = None
    first: int = 0
    index: int | None = None
    remembered: Any = None


class HandLoop:
    """The part of a scheduler that hand-written loops call, under the names of diffusers.

    Samples and outputs are arrays of NumPy or tensors of PyTorch. What comes in goes out: a result
    has the kind, dtype and device of the sample. The arithmetic is float32's.
    """

    order: ClassVar[int] = 1  # evaluations of the network that belong to a step
    fractional: ClassVar[bool] = False  # whether timesteps may lie between two training timesteps
    _loop: LoopState | None = None

    @abstractmethod
    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop; see `Scheduler.schedule`."""

    @property
    @abstractmethod
    def alphas_cumprod(self) -> FloatArray:
        """See `Scheduler.alphas_cumprod`."""

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: Any = None, **others: Any
    ) -> None:
        """Begin a loop.

        Args:
            num_inference_steps: Steps of the whole loop, 1 to `num_train_timesteps`.
            device: A `torch.device` makes `timesteps` a tensor there. Anything else is taken and
                has no effect, since the arithmetic is NumPy's.
            others: `timesteps`, `sigmas` and `mu` of diffusers, which must be None.

        Raises:
            InvalidInputError: The number is missing or out of range, or another argument is given.
        """
        for name, value in others.items():
            if name not in _UNSUPPORTED:
                raise TypeError(f"set_timesteps() got an unexpected keyword argument {name!r}")
            if value is not None:
                raise InvalidInputError(
                    f"set_timesteps({name}=...) is not supported: {_UNSUPPORTED[name]}; give"
                    " num_inference_steps"
                )
        if num_inference_steps is None:
            raise InvalidInputError("set_timesteps() needs num_inference_steps")
        schedule = self.schedule(num_inference_steps)
        self._keep(LoopState(schedule, int(num_inference_steps), device))

    @property
    def timesteps(self) -> Any:
        """Timesteps of the loop, falling; before `set_timesteps` those of the training.

        A step of two evaluations has two entries.
        """
        if self._loop is None:
            return np.arange(len(self))[::-1]
        return times_like(self._loop.device, self._loop.whole.timesteps)

    @property
    def num_inference_steps(self) -> int | None:
        """The number that `set_timesteps` was given; None before."""
        return None if self._loop is None else self._loop.steps

    @property
    def init_noise_sigma(self) -> float:
        """Factor of the initial noise."""
        return self._largest_noise() if self._loop is None else self._loop.whole.init_noise_sigma

    @property
    def begin_index(self) -> int | None:
        """Index of the first timestep, if `set_begin_index` said it."""
        return None if self._loop is None else self._loop.begin

    @property
    def step_index(self) -> int | None:
        """Index of the timestep whose turn is next; None before the first."""
        return None if self._loop is None else self._loop.index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say at which index of `timesteps` the loop begins, as image to image does.

        Raises:
            InvalidInputError: `set_timesteps` was not called, or there is no such index.
        """
        loop = self._running()
        last = len(loop.whole) - 1
        if isinstance(begin_index, bool) or begin_index not in range(last + 1):
            raise InvalidInputError(
                f"begin_index={begin_index!r}: give an integer from 0 to {last}"
            )
        self._keep(replace(loop, begin=int(begin_index)))

    def index_for_timestep(self, timestep: Any, schedule_timesteps: Any = None) -> int:
        """Return the index of a timestep in the loop.

        Of a timestep that occurs several times it is the second, as in diffusers.

        Raises:
            InvalidInputError: The loop does not visit the timestep.
        """
        known = (
            self._running().whole.timesteps if schedule_timesteps is None else schedule_timesteps
        )
        times = float32_array("schedule_timesteps", known)
        number = scalar("timestep", timestep)
        places = np.flatnonzero(times == np.float32(number))
        if len(places) == 0:
            raise InvalidInputError(
                f"timestep={number:g} is none of this loop's {len(times)} timesteps"
                f" {times[0]:g} ... {times[-1]:g}: take one of `scheduler.timesteps`"
            )
        return int(places[min(1, len(places) - 1)])

    def previous_timestep(self, timestep: Any) -> int | float:
        """Return the timestep that a step leads to, -1 behind the last.

        Raises:
            InvalidInputError: The loop does not visit the timestep.
        """
        if self._loop is None:
            return int(scalar("timestep", timestep)) - 1
        times = self._loop.whole.timesteps
        index = self.index_for_timestep(timestep) + 1
        following: int | float = times[index].item() if index < len(times) else -1
        return following

    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any:
        """Return what the network must be given for a sample of a timestep.

        Raises:
            InvalidInputError: The loop does not visit the timestep, or has not begun.
        """
        if not self._scales:
            return sample
        schedule, index = self._evaluation(timestep)
        scale = schedule.rows[index, _INPUT_SCALE]
        return like(sample, scale * float32_array("sample", sample))

    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Any, ...]:
        """Take one step of a hand-written loop.

        Args:
            model_output: The network's output, guidance applied, of the sample's shape; with a
                learned variance it has twice the channels.
            timestep: The timestep whose turn it is. The first call says where the loop begins,
                unless `set_begin_index` did.
            sample: The present sample, [B, ...].
            generator: A `Generator`, a `torch.Generator`, or a list with one for each row, for
                steps that draw noise.
            variance_noise: Noise to take in place of drawing, of the sample's shape.
            return_dict: False returns a tuple, the next sample first.

        Raises:
            InvalidInputError: `set_timesteps` was not called, the loop is over or does not visit
                the timestep, shapes differ, or the generator is none.
        """
        schedule, index = self._evaluation(timestep)
        noise = NoiseSource(generator, variance_noise)
        before = None if self._loop is None else self._loop.remembered
        following, clean, remembered = take_step(
            schedule, index, model_output, sample, before, noise
        )
        self._passed(remembered)
        result = SchedulerOutput(following, clean)
        return result if return_dict else result.to_tuple()

    def add_noise(self, original_samples: Any, noise: Any, timesteps: Any) -> Any:
        """Mix noise into clean samples until they are as noisy as a sample of a timestep.

        Args:
            original_samples: Clean samples, [B, ...].
            noise: Standard normals of that shape.
            timesteps: One for all rows, or [B]. Only schedulers that count noise in sigmas take
                fractions.

        Raises:
            InvalidInputError: A timestep lies outside 0 to `num_train_timesteps` - 1, or shapes
                differ.
        """
        original, drawn = same_shape("original_samples", original_samples, "noise", noise)
        shares = row_columns(self._noise_shares(self._times(timesteps)), original, "timesteps")
        return like(original_samples, shares[:, 0] * original + shares[:, 1] * drawn)

    def get_velocity(self, sample: Any, noise: Any, timesteps: Any) -> Any:
        """Return what a network with `prediction_type="v_prediction"` learns to predict.

        Args:
            sample: Clean samples, [B, ...].
            noise: Standard normals of that shape.
            timesteps: One whole timestep for all rows, or [B].

        Raises:
            InvalidInputError: As `add_noise` raises.
        """
        original, drawn = same_shape("sample", sample, "noise", noise)
        times = self._times(timesteps)
        if (times != times.round()).any():
            raise InvalidInputError(f"timesteps={timesteps!r}: give whole timesteps")
        shares = variance_preserving(self.alphas_cumprod[times.astype(np.int64)])
        columns = row_columns(shares, original, "timesteps")
        return like(sample, columns[:, 0] * drawn - columns[:, 1] * original)

    @property
    def _scales(self) -> bool:
        """Whether the network is given something else than the sample."""
        return False

    def _largest_noise(self) -> float:
        """Return the factor of the initial noise where no number of steps is known yet."""
        return 1.0

    def _times(self, timesteps: Any) -> NDArray[Any]:
        """Check timesteps of samples, and return them as an array [B] or [1]."""
        given = timesteps.detach().cpu().numpy() if is_torch(timesteps) else timesteps
        times: NDArray[Any] = np.atleast_1d(np.asarray(given))
        last = len(self) - 1
        kinds, numbers = ("iuf", "numbers") if self.fractional else ("iu", "integers")
        good = times.dtype.kind in kinds and times.ndim == 1 and times.size > 0
        if not (good and 0 <= times.min() <= times.max() <= last):
            raise InvalidInputError(f"timestep={timesteps!r}: give {numbers} from 0 to {last}")
        return times

    def _noise_shares(self, times: NDArray[Any]) -> FloatArray:
        """Return the shares of signal and noise in samples of timesteps, float32 [B, 2]."""
        return variance_preserving(self.alphas_cumprod[times])

    def _evaluation(self, timestep: Any) -> tuple[Schedule, int]:
        """Return the schedule that is under way and the index of its row for a timestep."""
        loop = self._running()
        if loop.index is None:
            first = self._first_index(timestep) if loop.begin is None else loop.begin
            loop = replace(loop, taken=self._from(first), first=first, index=first)
            self._keep(loop)
        assert loop.index is not None
        assert loop.taken is not None
        index = loop.index - loop.first
        if index >= len(loop.taken):
            raise InvalidInputError(
                f"the loop of {len(loop.whole)} timesteps is over: call set_timesteps again"
            )
        return loop.taken, index

    def _first_index(self, timestep: Any) -> int:
        """Return where a loop begins that begins at a timestep."""
        # The second place of a timestep may be another step's, if both were rounded to be equal.
        if scalar("timestep", timestep) == self._running().whole.timesteps[0]:
            return 0
        return self.index_for_timestep(timestep)

    def _passed(self, remembered: Any) -> None:
        """Move on to the next evaluation."""
        loop = self._running()
        assert loop.index is not None
        self._keep(replace(loop, index=loop.index + 1, remembered=remembered))

    def _from(self, first: int) -> Schedule:
        """Return the schedule that begins with an evaluation of the network."""
        loop = self._running()
        if first == 0:
            return loop.whole
        if first % self.order:
            raise InvalidInputError(
                f"the loop cannot begin at index {first}, between the {self.order} evaluations of a"
                f" step: begin at a multiple of {self.order}"
            )
        return self.schedule(loop.steps, first // self.order)

    def _running(self) -> LoopState:
        if self._loop is None:
            raise InvalidInputError(
                f"{type(self).__name__} has no loop yet: call set_timesteps(num_inference_steps)"
            )
        return self._loop

    def _keep(self, state: LoopState) -> None:
        object.__setattr__(self, "_loop", state)  # the dataclass is frozen; this is no field
