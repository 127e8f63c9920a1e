"""What a denoising step does besides the numbers of its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PLAIN_RULE", "Kept", "StepRule", "Threshold"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Dynamic thresholding of the predicted clean sample (Saharia et al. 2022, section 2.3).

    Attributes:
        ratio: Share of a sample's magnitudes that are left as they are.
        maximum: Largest magnitude that the others are scaled down from.
    """

    ratio: float
    maximum: float


@dataclass(frozen=True, slots=True)
class StepRule:
    """The part of a step that is no number of its row: a compiled step is one for each rule.

    Attributes:
        learned_variance: The second half of the output's channels says where between
            `log2_deviation_low` and `log2_deviation_high` the noise's deviation lies (Nichol and
            Dhariwal 2021); otherwise these channels are dropped.
        threshold: Dynamic thresholding; None clips by `x0_clip`.
    """

    learned_variance: bool = False
    threshold: Threshold | None = None


PLAIN_RULE = StepRule()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What inpainting puts back after every step, noised as far as the sample is.

    Attributes:
        original: Clean sample, [B, C, h, w].
        noise: The noise that it is noised with, [B, C, h, w].
        mask: 1 where the original is kept, 0 where it is repainted, [B, 1, h, w].
    """

    original: Any
    noise: Any
    mask: Any
