"""Options of a denoising step that are no numbers of its row: how the step is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PLAIN_RULE", "Kept", "StepRule", "Threshold"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Dynamic thresholding of the predicted clean sample (Saharia et al. 2022, section 2.3).

    Attributes:
        ratio: Share of a sample's magnitudes that are left as they are.
        maximum: Upper bound of the magnitude that a sample is clipped at and divided by.
    """

    ratio: float
    maximum: float


@dataclass(frozen=True, slots=True)
class StepRule:
    """The options of a step that are no numbers of its row; each rule is compiled on its own.

    Attributes:
        learned_variance: The second half of the output's channels says where between
            `log2_deviation_low` and `log2_deviation_high` the noise's deviation lies (Nichol and
            Dhariwal 2021). If False, these channels are dropped.
        threshold: Dynamic thresholding; None clips by `x0_clip`.
        registers: How many arrays a step remembers beside the clean sample that it predicted.
        blends_x0: Whether the kept part of a picture is mixed into the clean sample that a step
            predicts, and not into the sample that it leads to.
    """

    learned_variance: bool = False
    threshold: Threshold | None = None
    registers: int = 0
    blends_x0: bool = False


PLAIN_RULE = StepRule()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """The part of a picture that inpainting puts back after every step, as noisy as the sample.

    Attributes:
        original: Clean sample, [B, C, h, w].
        noise: The noise that is added to `original`, [B, C, h, w].
        mask: 1 where the original is kept, 0 where it is repainted, [B, 1, h, w].
    """

    original: Any
    noise: Any
    mask: Any
