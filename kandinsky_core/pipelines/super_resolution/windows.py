"""Denoises a large picture window by window, and averages where windows overlap.

MultiDiffusion (Bar-Tal et al. 2023, arXiv:2302.08113) as ai-forever/KandiSuperRes does it. All
windows have one shape, so that one compiled program serves pictures of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.networks import Denoiser, DenoisingRun
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule

__all__ = ["WindowedDenoiser", "Windows"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the windows of a picture lie.

    Attributes:
        height: Rows of the picture.
        width: Columns of the picture.
        size: Largest side of a window. A picture that is not higher or wider has one window there.
        stride: Distance of two neighbours, at most `size`. The last one ends with the picture.
    """

    height: int
    width: int
    size: int
    stride: int

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each window, row by row."""
        rows, columns = self._starts(self.height), self._starts(self.width)
        high, wide = min(self.size, self.height), min(self.size, self.width)
        return [
            (slice(top, top + high), slice(left, left + wide)) for top in rows for left in columns
        ]

    def _starts(self, length: int) -> list[int]:
        if length <= self.size:
            return [0]
        last = length - self.size
        return [*range(0, last, self.stride), last]

    @property
    def coverage(self) -> FloatArray:
        """How many windows cover each pixel, float32 [height, width]."""
        counts = np.zeros((self.height, self.width), np.float32)
        for place in self.places:
            counts[place] += 1
        return counts


class WindowedDenoiser:
    """A denoiser whose runs take a sample of any size, and show the network one window at a time.

    Args:
        network: The network.
        windows: The windows of the sample.
        at_once: How many windows the network sees in one batch. The result does not depend on it,
            apart from rounding.
    """

    def __init__(self, network: Denoiser, windows: Windows, at_once: int) -> None:
        self.network = network
        self.windows = windows
        self.at_once = at_once

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> _WindowedRun:
        """See `kandinsky_core.seam.networks.Denoiser.begin`; B is 1, without guidance or `kept`."""
        return _WindowedRun(self, sample, conditioning, guidance_scale, rule)


class _WindowedRun:
    """One loop under way; each batch of windows has a run of its own with its own history."""

    def __init__(
        self,
        denoiser: WindowedDenoiser,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        rule: StepRule,
    ) -> None:
        windows = denoiser.windows
        at_once = min(denoiser.at_once, len(windows.places))
        self._groups = list(_groups(windows.places, at_once))
        self._coverage = windows.coverage
        self._sample = np.array(sample)
        self._runs: list[DenoisingRun] = [
            denoiser.network.begin(
                _cut(sample, group, at_once),
                {name: _cut(array, group, at_once) for name, array in conditioning.items()},
                guidance_scale,
                rule=rule,
            )
            for group in self._groups
        ]
        self._at_once = at_once

    def step(self, timestep: float, row: FloatArray, noise: FloatArray | None) -> None:
        """Take one step in each window, and average the windows."""
        for group, run in zip(self._groups, self._runs, strict=True):
            run.write(_cut(self._sample, group, self._at_once))
            run.step(timestep, row, None if noise is None else _cut(noise, group, self._at_once))
        self._sample = self._averaged([run.read() for run in self._runs])

    def _averaged(self, parts: Sequence[FloatArray]) -> FloatArray:
        total = np.zeros_like(self._sample)
        for group, found in zip(self._groups, parts, strict=True):
            for place, part in zip(group, found, strict=False):  # a filled group has more
                total[0, :, *place] += part
        averaged: FloatArray = total / self._coverage
        return averaged

    def predicted(self) -> FloatArray:
        """Return the clean sample that the windows' last steps predicted."""
        return self._averaged([run.predicted() for run in self._runs])

    def read(self) -> FloatArray:
        """Return the sample."""
        return self._sample

    def write(self, sample: FloatArray) -> None:
        """Replace the sample."""
        self._sample = np.array(sample)

    def condition(
        self,
        conditioning: Mapping[str, Array],
        *,
        guidance_scale: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Replace the conditioning."""
        for group, run in zip(self._groups, self._runs, strict=True):
            windows = {
                name: _cut(array, group, self._at_once) for name, array in conditioning.items()
            }
            run.condition(windows, guidance_scale=guidance_scale)


def _groups(places: list[tuple[slice, slice]], count: int) -> list[list[tuple[slice, slice]]]:
    return [places[start : start + count] for start in range(0, len(places), count)]


def _cut(picture: Array, group: list[tuple[slice, slice]], count: int) -> Array:
    """Cut windows out of a picture [1, C, H, W]: [count, C, h, w].

    A group of fewer windows is filled with its last one, so that all batches have one shape.
    """
    filled = [*group, *[group[-1]] * (count - len(group))]
    return np.stack([picture[0, :, *place] for place in filled])
