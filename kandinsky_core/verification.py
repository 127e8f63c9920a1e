"""Compares two backends component by component, with the same inputs; `kandinsky verify` uses it.

A component of one backend gets the same inputs as the component of the other, so that an error
shows where it arises. The picture at the end shows what all errors add up to. What the components
of a family are, and what each gets, its `VerifiedParts` says: see
`kandinsky_core.pipelines.shared.verified_parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.schedulers.schedule import make_rows
from kandinsky_core.seam.control import LoopNetwork

__all__ = ["PICTURE", "TOLERANCES", "Comparison", "compare", "one_step", "outputs"]

# dtype -> relative error of a component, largest difference of a picture in [0, 1]. In half
# precision each value is rounded, and the networks multiply the error.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "float32": (1e-5, 1e-3),
    "bfloat16": (1e-1, 0.5),
    "float16": (2e-2, 0.25),
}
PICTURE = "picture"
_TIMESTEP = 500.0
# A row with which a step returns the network's guided output as it is.
_PLAIN = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far one component of one backend lies from the reference.

    Attributes:
        component: `text_encoder`, `unet`, ..., as the family names it; or `picture`.
        backend: Name of the backend that was compared.
        reference: Name of the reference.
        max_abs: Largest absolute difference.
        relative: L2 norm of the difference, divided by the L2 norm of the reference.
        psnr: Peak signal-to-noise ratio in decibels; None for all but the picture.
        tolerance: Largest `max_abs` that passes for the picture, largest `relative` for the others.
    """

    component: str
    backend: str
    reference: str
    max_abs: float
    relative: float
    psnr: float | None
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference lies within the tolerance; NaN does not."""
        found = self.max_abs if self.component == PICTURE else self.relative
        return bool(found <= self.tolerance)


def outputs(
    runs: Mapping[str, Callable[..., Any]], given: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, tuple[Array, ...]]]:
    """Run each component alone; yield its name and its outputs.

    Args:
        runs: What runs a component, by its name.
        given: The inputs of each, the same for every backend.
    """
    for name, run in runs.items():
        result = run(*given[name])
        yield name, result if isinstance(result, tuple) else (result,)


def compare(
    component: str,
    backend: str,
    reference: str,
    got: Sequence[Array],
    expected: Sequence[Array],
    dtype: str,
    *,
    peers: bool = False,
) -> Comparison:
    """Measure how far outputs lie from the reference's; the worst of several outputs counts.

    Args:
        component: The component's name.
        backend: The backend's name.
        reference: The reference's name.
        got: Outputs of the backend.
        expected: Outputs of the reference.
        dtype: The dtype of both.
        peers: Whether the reference is a backend too. Both may then be off by the tolerance, so
            twice as much passes for a component.
    """
    pairs = [
        (np.asarray(mine, np.float64), np.asarray(theirs, np.float64))
        for mine, theirs in zip(got, expected, strict=True)
    ]
    of_component, of_picture = TOLERANCES[dtype]
    picture = component == PICTURE
    square = float(np.mean([np.mean((mine - theirs) ** 2) for mine, theirs in pairs]))
    return Comparison(
        component=component,
        backend=backend,
        reference=reference,
        max_abs=float(np.max([np.abs(mine - theirs).max() for mine, theirs in pairs])),
        relative=max(_relative(mine, theirs) for mine, theirs in pairs),
        psnr=-10 * float(np.log10(max(square, 1e-30))) if picture else None,
        tolerance=of_picture if picture else of_component * (1 + peers),
    )


def one_step(
    denoiser: LoopNetwork, sample: FloatArray, conditioning: Mapping[str, Array], scale: float
) -> FloatArray:
    """Return the guided output of a denoiser at one timestep.

    Args:
        denoiser: A UNet or a prior, or a UNet with its branch.
        sample: See `Denoiser.begin`.
        conditioning: See `Denoiser.begin`.
        scale: Weight of guidance.
    """
    run = denoiser.begin(sample, conditioning, scale)
    run.step(_TIMESTEP, _PLAIN, None)
    return run.read()


def _relative(mine: Array, theirs: Array) -> float:
    """Return how large a difference is beside the reference, which may be zero throughout."""
    off, whole = float(np.linalg.norm(mine - theirs)), float(np.linalg.norm(theirs))
    if whole == 0:
        return 0.0 if off == 0 else float("inf")
    return off / whole
