"""Hand-written loops of schedulers that walk down a list of noise levels."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.arrays import FloatArray
from kandinsky_core.schedulers.coefficients import variance_preserving
from kandinsky_core.schedulers.hand_loop import HandLoop

__all__ = ["SigmaLoop"]


class SigmaLoop(HandLoop):
    """A loop that counts its steps, and knows the noise of each by the step's number."""

    @property
    def sigmas(self) -> FloatArray:
        """Noise over signal at each timestep of the loop and behind the last, float32 [S + 1].

        Before `set_timesteps` they are those of the training.
        """
        return self._sigmas_of(len(self) if self._loop is None else self._loop.steps)

    @abstractmethod
    def _sigmas_of(self, steps: int) -> FloatArray:
        """Return the sigmas of a loop at each evaluation of the network, and behind the last."""

    @abstractmethod
    def _shares_of(self, sigmas: FloatArray) -> FloatArray:
        """Return the shares of signal and noise in samples of sigmas, float32 [B, 2]."""

    def _trained_shares(self, times: NDArray[Any]) -> FloatArray:
        """Return the shares of signal and noise in samples of training timesteps."""
        return variance_preserving(self.alphas_cumprod[times])

    def _noise_shares(self, times: NDArray[Any]) -> FloatArray:
        """Return the shares in a sample of the loop, or of the training outside of a loop.

        In a loop with a `begin_index` the present step counts and not the timestep, as in
        diffusers: there the timesteps of two steps may be equal.
        """
        loop = self._loop
        if loop is None:
            return self._trained_shares(times)
        if loop.begin is not None:
            index = loop.begin if loop.index is None else loop.index
            return self._shares_of(self.sigmas[np.full(len(times), index)])
        if not np.isin(times.astype(np.float32), loop.whole.timesteps.astype(np.float32)).all():
            return self._trained_shares(times)
        return self._shares_of(self.sigmas[[self.index_for_timestep(time) for time in times]])
