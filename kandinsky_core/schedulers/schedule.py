"""A schedule: what a denoising loop does to the sample, as a table with one row a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule, Threshold

__all__ = ["ROW_FIELDS", "SOURCES", "Row", "Schedule", "make_rows", "row_length", "step"]


class Row(NamedTuple):
    """The numbers of one step by their names, in the order of the columns of `Schedule.rows`."""

    x0_from_sample: Any
    x0_from_output: Any
    x0_clip: Any
    mean_from_x0: Any
    mean_from_sample: Any
    mean_from_previous_x0: Any
    noise_scale: Any
    mean_from_output: Any
    input_scale: Any
    log2_deviation_low: Any
    log2_deviation_high: Any
    kept_from_original: Any
    kept_from_noise: Any
    mean_from_registers: Sequence[Any] = ()
    registers: Sequence[Sequence[Any]] = ()

    @classmethod
    def of(cls, row: Any) -> Row:
        """Name the numbers of a row.

        Args:
            row: [13], an array of NumPy, JAX (traced, too) or MindSpore, or a list of numbers. With
                K registers it has `row_length(K)` numbers: behind the 13 come the K weights of the
                registers in the mean, then the weights of each register's new value, as
                `step` says.

        Raises:
            ValueError: The row has another number of numbers. A traced index past the end would
                silently read the last one.
        """
        if isinstance(row, Row):
            return row
        count = _register_count(len(row))
        # Read by index, since iterating over a traced array would add operations to the program.
        numbers = [row[column] for column in range(len(row))]
        own, rest = numbers[: len(ROW_FIELDS)], numbers[len(ROW_FIELDS) :]
        width = SOURCES + count
        starts = range(count, len(rest), width) if count else ()
        registers = [rest[start : start + width] for start in starts]
        return cls._make([*own, rest[:count], registers])


ROW_FIELDS = Row._fields[:-2]
SOURCES = 4
"""Arrays besides the registers that a register's new value is made of: see `step`."""


def row_length(registers: int) -> int:
    """Return how many numbers a row has where a step remembers so many registers."""
    return len(ROW_FIELDS) + registers * (1 + SOURCES + registers)


def _register_count(length: int) -> int:
    """Return how many registers a row of this length is for."""
    count = 0
    while row_length(count) < length:
        count += 1
    if row_length(count) != length:
        raise ValueError(
            f"a row has {len(ROW_FIELDS)} numbers, or {row_length(1)}, {row_length(2)}, ... with"
            f" registers, not {length}"
        )
    return count


_KEPT_COLUMNS = [ROW_FIELDS.index(name) for name in ("kept_from_original", "kept_from_noise")]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """The steps of one denoising loop; a loop needs nothing else of its scheduler.

    Attributes:
        timesteps: [S] int64 or float32, the number that tells the network how noisy its input is.
        rows: [S, 13] float32, columns named by `ROW_FIELDS`, for `step`; with registers they are
            longer, see `row_length`.
        draws: [S] bool, whether noise is drawn at the step. A step may draw though its
            `noise_scale` hardly matters: the last step of DDPM draws for a scale of 1e-10, which
            moves the stream.
        noising: [S, 2] float32, the shares of a clean sample and of noise in a sample of each
            timestep. The columns `kept_from_...` of `rows` are filled from it: each step takes the
            shares of the next timestep, and the last step those of a clean sample.
        init_noise_sigma: Factor of the initial noise.
        rule: How each step is computed.
    """

    timesteps: NDArray[Any]
    rows: FloatArray
    draws: NDArray[np.bool_]
    noising: FloatArray
    init_noise_sigma: float = 1.0
    rule: StepRule = PLAIN_RULE

    def __post_init__(self) -> None:
        count = len(self.timesteps)
        shapes = (self.rows.shape, self.draws.shape, self.noising.shape)
        length = row_length(self.rule.registers)
        if shapes != ((count, length), (count,), (count, 2)):
            raise ValueError(
                f"{count} timesteps need rows [{count}, {length}], draws [{count}] and"
                f" noising [{count}, 2], not {', '.join(map(str, shapes))}"
            )
        rows = self.rows.copy()
        rows[:, _KEPT_COLUMNS] = np.append(self.noising[1:], [[1, 0]], axis=0)
        object.__setattr__(self, "rows", rows)

    def __len__(self) -> int:
        return len(self.timesteps)

    def noised(self, original: FloatArray, noise: FloatArray) -> FloatArray:
        """Return clean samples noised to the first timestep; image to image starts from them."""
        signal, deviation = self.noising[0]
        noised: FloatArray = signal * original + deviation * noise
        return noised


def step(
    row: Any,
    sample: Any,
    output: Any,
    remembered: Any,
    noise: Any,
    *,
    variance: Any = None,
    threshold: Threshold | None = None,
    sort: Callable[[Any], Any] | None = None,
    kept: Kept | None = None,
    blends_x0: bool = False,
) -> tuple[Any, Any]:
    """Take one step: predict the clean sample, then the sample of the next timestep.

        x0 = x0_from_sample * sample + x0_from_output * output, clipped to [-x0_clip, x0_clip]
        next = mean_from_x0 * x0 + mean_from_sample * sample + mean_from_output * output
             + mean_from_previous_x0 * previous_x0 + noise_scale * noise

    A solver that remembers more than the last clean sample has registers. Each adds its weight in
    `mean_from_registers` to `next`; its new value is a weighted sum of the sample, x0, the output,
    previous_x0 and all registers, whose weights are in `registers`.

    The caller computes the network's input, `input_scale * sample`. The function uses only what
    NumPy, JAX and MindSpore arrays share, so that it runs (and compiles) on each.

    Args:
        row: One row of `Schedule.rows`; may be traced. A float32 row makes the arithmetic float32
            where the framework promotes float16 with float32.
        sample: Present sample, any shape.
        output: The network's prediction, guidance applied, of the same shape.
        remembered: What the step before returned: the clean sample that it predicted or, with
            registers, a tuple of that and of each register. None counts as zeros.
        noise: Standard normals; None where the step draws none.
        variance: Second half of the network's channels, for a learned variance; `noise_scale` is
            multiplied by the deviation that it stands for. None multiplies by 1.
        threshold: Dynamic thresholding in place of clipping.
        sort: Sorts along the last axis, for `threshold`; the frameworks' functions differ.
        kept: The part to put back afterwards; its arrays are laid out as `sample`.
        blends_x0: Put it into x0 instead, which is then thresholded once more.

    Returns:
        The next sample, and what the step after must be given as `remembered`; all in the dtype of
        `sample`.

    Raises:
        ValueError: The row and `ROW_FIELDS` differ in length (a traced index past the end would
            silently read the last number).
    """
    named = Row.of(row)
    previous_x0, *registers = remembered if isinstance(remembered, tuple) else (remembered,)
    x0 = named.x0_from_sample * sample + named.x0_from_output * output
    x0 = _limited(x0, named.x0_clip, threshold, sort)
    if kept is not None and blends_x0:
        x0 = kept.mask * kept.original + (1 - kept.mask) * x0
        x0 = _limited(x0, named.x0_clip, threshold, sort)
    result = (
        named.mean_from_x0 * x0 + named.mean_from_sample * sample + named.mean_from_output * output
    )
    if previous_x0 is not None:
        result = result + named.mean_from_previous_x0 * previous_x0
    for weight, register in zip(named.mean_from_registers, registers, strict=False):
        result = result + weight * register
    if noise is not None:
        scale = named.noise_scale
        if variance is not None:
            scale = scale * _deviation(named, variance)
        result = result + scale * noise
    if kept is not None and not blends_x0:
        original = named.kept_from_original * kept.original + named.kept_from_noise * kept.noise
        result = kept.mask * original + (1 - kept.mask) * result
    clean = x0.astype(sample.dtype)
    if not named.registers:
        return result.astype(sample.dtype), clean
    sources = (sample, x0, output, previous_x0, *registers)
    new = (_weighted(weights, sources).astype(sample.dtype) for weights in named.registers)
    return result.astype(sample.dtype), (clean, *new)


def _weighted(weights: Sequence[Any], arrays: Sequence[Any]) -> Any:
    """Return the weighted sum of arrays; in the first step the last of them are not there."""
    pairs = zip(weights, arrays, strict=False)
    return sum(weight * array for weight, array in pairs if array is not None)


def _deviation(row: Row, variance: Any) -> Any:
    """Return the deviation that a learned variance in [-1, 1] stands for."""
    share = (variance + 1) / 2
    return 2.0 ** (share * row.log2_deviation_high + (1 - share) * row.log2_deviation_low)


def _limited(x0: Any, clip: Any, threshold: Threshold | None, sort: Any) -> Any:
    return x0.clip(-clip, clip) if threshold is None else _thresholded(x0, threshold, sort)


def _thresholded(x0: Any, threshold: Threshold, sort: Any) -> Any:
    """Clip each sample at a quantile of its magnitudes, at least 1, and scale it to [-1, 1]."""
    magnitudes = sort(abs(x0).reshape(len(x0), -1))  # [B, N]
    # the quantile's place among N sorted values; between two it interpolates, as NumPy's `linear`
    place = threshold.ratio * (magnitudes.shape[1] - 1)
    low = int(place)
    high = min(low + 1, magnitudes.shape[1] - 1)
    limit = magnitudes[:, low] + (place - low) * (magnitudes[:, high] - magnitudes[:, low])
    limit = limit.clip(1.0, threshold.maximum).reshape(-1, *[1] * (x0.ndim - 1))
    return x0.clip(-limit, limit) / limit


def make_rows(count: int, **columns: Any) -> FloatArray:
    """Lay columns out as rows [count, 13]; each column is [count] or a scalar.

    A column that is not named is zero, except `input_scale`, which is 1.
    """
    unknown = set(columns) - set(ROW_FIELDS)
    if unknown:
        raise TypeError(f"not a column of a schedule: {', '.join(sorted(unknown))}")
    rows = np.zeros((count, len(ROW_FIELDS)), np.float32)
    for name, values in {"input_scale": 1, **columns}.items():
        rows[:, ROW_FIELDS.index(name)] = values
    return rows
