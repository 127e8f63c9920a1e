"""A step's guidance, by hand: which rows the network gets, and what becomes of its output."""

from __future__ import annotations

import numpy as np

from kandinsky_backend_kit.guided_step import ArrayFunctions, guide, guided_step, rescaled
from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.schedule import Row, make_rows
from kandinsky_core.seam.step_rules import PLAIN_RULE, StepRule

FUNCTIONS = ArrayFunctions(
    concatenate=np.concatenate,
    split_channels=lambda array, count: np.split(array, [count], axis=1),
    halve=lambda array: np.split(array, 2),
    sort=np.sort,
)
# The clean sample is the output, and so is the next sample but for noise of a deviation of 2 ** v.
ROW = make_rows(
    1,
    x0_from_output=1,
    x0_clip=np.inf,
    mean_from_x0=1,
    noise_scale=1,
    input_scale=0.5,
    log2_deviation_low=-1,
    log2_deviation_high=1,
)[0]


def test_guidance_by_hand() -> None:
    one, two = np.float32([1, 5]), np.float32([2, 4])
    np.testing.assert_array_equal(guide(one, two, np.float32(4)), [5, 1])
    np.testing.assert_array_equal(guide(one, two, np.float32(1)), two)


def test_rescaled_guidance_by_hand() -> None:
    """Deviations of the rows: guided 2 and 0, conditional 1 and 3; an even prediction stays."""
    guided, conditional = np.float32([[2, 6], [5, 5]]), np.float32([[0, 2], [1, 7]])
    np.testing.assert_allclose(rescaled(guided, conditional, 1.0)[0], [1, 3])
    np.testing.assert_allclose(rescaled(guided, conditional, 0.5)[0], [1.5, 4.5])
    np.testing.assert_array_equal(rescaled(guided, conditional, 0.0), guided)


def test_a_guided_step_shows_the_sample_twice() -> None:
    sample = np.float32([[2], [4]])
    shown = []

    def predict(rows: FloatArray) -> FloatArray:
        shown.append(rows)
        output = np.float32([[1], [2], [3], [5]])
        variance = np.float32([[0], [0], [1], [-1]])
        return np.concatenate([output, variance], axis=1)

    def take(guidance_scale: float | None, rule: StepRule) -> FloatArray:
        result, _ = guided_step(
            FUNCTIONS,
            predict,
            ROW,
            sample,
            None,
            np.float32([[10], [10]]),
            channels=1,
            guidance_scale=guidance_scale,
            rule=rule,
            kept=None,
        )
        return np.asarray(result)

    # 1 + 2 * (3 - 1) and 2 + 2 * (5 - 2), noise of the conditional half's deviations 2 and 1/2
    learned = take(2.0, StepRule(learned_variance=True))
    np.testing.assert_array_equal(learned, [[5 + 20], [8 + 5]])
    np.testing.assert_array_equal(take(2.0, PLAIN_RULE), [[5 + 10], [8 + 10]])
    np.testing.assert_array_equal(shown[0], [[1], [2], [1], [2]])


def test_an_unguided_step_shows_it_once() -> None:
    sample = np.float32([[2], [4]])
    result, x0 = guided_step(
        FUNCTIONS,
        lambda rows: rows + 1,
        Row.of(ROW),
        sample,
        None,
        None,
        channels=1,
        guidance_scale=None,
        rule=PLAIN_RULE,
        kept=None,
    )
    np.testing.assert_array_equal(result, [[2], [3]])
    np.testing.assert_array_equal(x0, result)
