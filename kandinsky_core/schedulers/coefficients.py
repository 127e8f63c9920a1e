"""Coefficients that several schedulers share, in the reference's float32 arithmetic.

Letters: alpha is the cumulative product at the step's timestep. alpha_next is the cumulative
product at the timestep that the step leads to, and 1 behind the last step. beta is the variance of
the noise between the two.
"""

from __future__ import annotations

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import ConfigError

__all__ = [
    "ONE",
    "posterior_columns",
    "posterior_deviation",
    "variance_preserving",
    "x0_columns",
]

ONE = np.float32(1)
_SMALLEST_VARIANCE = np.float32(1e-20)


def variance_preserving(alpha: FloatArray) -> FloatArray:
    """Return `Schedule.noising` where signal and noise have variances alpha and 1 - alpha.

    `alpha` is float32 [S]; the result is float32 [S, 2].
    """
    return np.stack([np.sqrt(alpha), np.sqrt(ONE - alpha)], axis=1)


def x0_columns(
    prediction_type: str, shares: FloatArray, clip: float
) -> dict[str, FloatArray | float]:
    """Return the columns that turn the network's output into a clean sample.

    Args:
        prediction_type: `epsilon`, `sample` or `v_prediction` (Salimans and Ho 2022).
        shares: float32 [S, 2], as `variance_preserving` returns them.
        clip: Largest magnitude of the clean sample; infinity does not clip.

    Raises:
        ConfigError: The network predicts noise and a sample is pure noise.
    """
    signal, noise = shares.T
    if prediction_type == "epsilon":
        if not signal.all():
            raise ConfigError(
                "prediction_type='epsilon' cannot start from pure noise, as"
                " rescale_betas_zero_snr=True has it: take timestep_spacing='leading' or leave the"
                " betas as they are"
            )
        return {"x0_from_sample": ONE / signal, "x0_from_output": -noise / signal, "x0_clip": clip}
    if prediction_type == "sample":
        return {"x0_from_output": 1.0, "x0_clip": clip}
    return {"x0_from_sample": signal, "x0_from_output": -noise, "x0_clip": clip}


def posterior_columns(
    alpha: FloatArray, alpha_next: FloatArray, step_alpha: FloatArray, beta: FloatArray
) -> dict[str, FloatArray]:
    """Return the columns of the mean of q(next | sample, x0): formula 7 of Ho et al. 2020.

    `step_alpha` is 1 - beta. It is an argument because the reference rounds it in two ways.
    """
    return {
        "mean_from_x0": np.sqrt(alpha_next) * beta / (ONE - alpha),
        "mean_from_sample": np.sqrt(step_alpha) * (ONE - alpha_next) / (ONE - alpha),
    }


def posterior_deviation(
    alpha: FloatArray, alpha_next: FloatArray, beta: FloatArray, via_logarithm: bool
) -> FloatArray:
    """Return the standard deviation of q(next | sample, x0), at least 1e-10.

    `via_logarithm` takes the root as exp(log(variance) / 2), as `fixed_small_log` does.
    """
    variance = np.maximum((ONE - alpha_next) / (ONE - alpha) * beta, _SMALLEST_VARIANCE)
    root: FloatArray = (
        np.exp(np.float32(0.5) * np.log(variance)) if via_logarithm else np.sqrt(variance)
    )
    return root
