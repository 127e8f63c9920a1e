"""A schedule: what a denoising loop does to the sample, as a table with one row a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.interfaces import FloatArray

__all__ = ["ROW_FIELDS", "Schedule", "make_rows", "step"]

ROW_FIELDS = (
    "x0_from_sample",
    "x0_from_output",
    "x0_clip",
    "mean_from_x0",
    "mean_from_sample",
    "mean_from_previous_x0",
    "noise_scale",
    "mean_from_output",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """The steps of one denoising loop; all that is left of a scheduler once the loop starts.

    Attributes:
        timesteps: [S] int64 or float32, what the network is told at each step.
        rows: [S, 8] float32, columns named by `ROW_FIELDS`, for `step`.
        draws: [S] bool, whether noise is drawn at the step. Not the same as a `noise_scale` above 0
            that matters: the last step of DDPM draws for a scale of 1e-10, which moves the stream.
        init_noise_sigma: Factor of the initial noise.
    """

    timesteps: NDArray[Any]
    rows: FloatArray
    draws: NDArray[np.bool_]
    init_noise_sigma: float = 1.0

    def __post_init__(self) -> None:
        count = len(self.timesteps)
        if self.rows.shape != (count, len(ROW_FIELDS)) or self.draws.shape != (count,):
            raise ValueError(
                f"{count} timesteps need rows [{count}, {len(ROW_FIELDS)}] and draws [{count}], "
                f"not {self.rows.shape} and {self.draws.shape}"
            )

    def __len__(self) -> int:
        return len(self.timesteps)


def step(row: Any, sample: Any, output: Any, previous_x0: Any, noise: Any) -> tuple[Any, Any]:
    """Take one step: predict the clean sample, then the sample of the next timestep.

        x0 = x0_from_sample * sample + x0_from_output * output, clipped to [-x0_clip, x0_clip]
        next = mean_from_x0 * x0 + mean_from_sample * sample + mean_from_output * output
             + mean_from_previous_x0 * previous_x0 + noise_scale * noise

    Uses only what NumPy, JAX and MindSpore arrays share, so that it runs (and compiles) on each. A
    learned variance will add its columns at the end of the row and an optional argument here, so
    that callers, which pass rows whole, stay as they are.

    Args:
        row: One row of `Schedule.rows`; may be traced. A float32 row makes the arithmetic float32
            where the framework promotes float16 with float32.
        sample: Present sample, any shape.
        output: The network's prediction, guidance applied, of the same shape.
        previous_x0: Clean sample predicted one step earlier; None counts as zero.
        noise: Standard normals; None where the step draws none.

    Returns:
        The next sample and the predicted clean sample, both in the dtype of `sample`.

    Raises:
        ValueError: The row has not as many numbers as `ROW_FIELDS` (a traced index past the end
            would silently read the last one).
    """
    if len(row) != len(ROW_FIELDS):
        raise ValueError(f"a row has {len(ROW_FIELDS)} numbers, not {len(row)}")
    clip = row[2]
    x0 = (row[0] * sample + row[1] * output).clip(-clip, clip)
    result = row[3] * x0 + row[4] * sample + row[7] * output
    if previous_x0 is not None:
        result = result + row[5] * previous_x0
    if noise is not None:
        result = result + row[6] * noise
    return result.astype(sample.dtype), x0.astype(sample.dtype)


def make_rows(count: int, **columns: Any) -> FloatArray:
    """Lay columns out as rows [count, 8]; each is [count] or a scalar, and zero where not named."""
    unknown = set(columns) - set(ROW_FIELDS)
    if unknown:
        raise TypeError(f"not a column of a schedule: {', '.join(sorted(unknown))}")
    rows = np.zeros((count, len(ROW_FIELDS)), np.float32)
    for name, values in columns.items():
        rows[:, ROW_FIELDS.index(name)] = values
    return rows
