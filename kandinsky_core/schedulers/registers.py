"""Rows of solvers that remember more than the last clean sample.

All that such a solver computes is a weighted sum of arrays, whatever its name. So its code is
written with a vector of weights in place of each array (`Forms`), once for each step. What comes
out are the numbers of the row. The network, the clipping of the clean sample and the noise are left
to `step` in `kandinsky_core/schedulers/schedule.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.schedule import ROW_FIELDS, SOURCES

__all__ = ["Arrays", "Forms", "arrays", "rows_with_registers"]

Weights = NDArray[np.float64]
"""Stands for an array: its weights over sample, x0, output, previous x0 and the registers."""

_MEAN_COLUMNS = [
    ROW_FIELDS.index(f"mean_from_{name}") for name in ("sample", "x0", "output", "previous_x0")
]


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays that a step can use, each as its weights.

    Attributes:
        sample: What the network was given, unscaled.
        x0: The clean sample predicted now.
        output: The network's output.
        previous_x0: The clean sample predicted one evaluation earlier.
        registers: What earlier evaluations left.
    """

    sample: Weights
    x0: Weights
    output: Weights
    previous_x0: Weights
    registers: tuple[Weights, ...]


@dataclass(frozen=True, slots=True)
class Forms:
    """What a step leaves, in weights.

    Attributes:
        following: The next sample, without its noise.
        kept: The new value of each register.
    """

    following: Weights
    kept: tuple[Weights, ...]

    @property
    def registers(self) -> int:
        """Number of registers."""
        return len(self.kept)


def arrays(registers: int) -> Arrays:
    """Return the arrays of a step that has so many registers."""
    sample, x0, output, previous, *rest = np.eye(SOURCES + registers)
    return Arrays(sample, x0, output, previous, tuple(rest))


def rows_with_registers(rows: FloatArray, forms: Sequence[Forms]) -> FloatArray:
    """Write weights into rows; the columns `mean_from_...` are overwritten.

    Args:
        rows: [S, 13], see `make_rows`.
        forms: One for each row.
    """
    means: Any = np.stack([form.following for form in forms])
    filled = rows.copy()
    filled[:, _MEAN_COLUMNS] = means[:, :SOURCES]
    rest = [np.concatenate([form.following[SOURCES:], *form.kept]) for form in forms]
    return np.append(filled, np.stack(rest).astype(np.float32), axis=1)
