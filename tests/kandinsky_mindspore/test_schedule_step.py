"""The arithmetic of one step on MindSpore's tensors equals that on NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from kandinsky_core.schedulers import DDPMScheduler, UniPCMultistepScheduler, step  # noqa: E402
from kandinsky_core.seam.step_rules import Kept, Threshold  # noqa: E402
from tests.kandinsky_core.schedulers.test_schedule import EVERYTHING, arrays, everything, row_of  # noqa: E402


def sort(values: Any) -> Any:
    return ms.ops.sort(values, axis=-1)[0]


@pytest.mark.parametrize("threshold", [None, Threshold(0.9, 1.5), Threshold(0.995, np.inf)])
def test_every_part_equals_numpy(threshold: Threshold | None) -> None:
    given, variance, kept = everything()
    row = EVERYTHING + row_of(input_scale=0, x0_clip=1)
    names = ("original", "noise", "mask")

    def run(sort: Any, row: Any, given: Any, variance: Any, kept: Any) -> Any:
        keeping = Kept(**dict(zip(names, kept, strict=True)))
        return step(row, *given, variance=variance, threshold=threshold, sort=sort, kept=keeping)

    expected = run(np.sort, row, given, variance, kept)
    tensors = [[ms.Tensor(array) for array in group] for group in (given, [variance], kept)]
    got = run(sort, ms.Tensor(row), tensors[0], tensors[1][0], tensors[2])
    for ours, theirs in zip(expected, got, strict=True):
        assert theirs.dtype == ms.float32
        np.testing.assert_allclose(theirs.asnumpy(), ours, rtol=2e-6, atol=2e-6)


def test_rows_with_registers_equal_numpy() -> None:
    sample, output = arrays(2)
    got, mine, theirs = ms.Tensor(sample), None, None
    for row in UniPCMultistepScheduler().schedule(6).rows:
        numbers = [float(value) for value in row]  # as a run of the backend does
        sample, mine = step(row, sample, output, mine, None)
        got, theirs = step(numbers, got, ms.Tensor(output), theirs, None)
        np.testing.assert_allclose(got.asnumpy(), sample, rtol=0, atol=1e-5)


def test_rows_of_a_schedule_equal_numpy() -> None:
    schedule = DDPMScheduler().schedule(12)
    sample, output, previous, noise = arrays(4)
    for row in schedule.rows:
        expected = step(row, sample, output, previous, noise)
        tensors = [ms.Tensor(array) for array in (row, sample, output, previous, noise)]
        for ours, theirs in zip(expected, step(*tensors), strict=True):
            np.testing.assert_allclose(theirs.asnumpy(), ours, rtol=2e-6, atol=2e-6)
