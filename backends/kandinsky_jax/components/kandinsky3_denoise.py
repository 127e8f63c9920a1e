"""Runs Kandinsky 3's UNet in its loop, with one program for texts of any length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_jax.components.denoise import JaxDenoiser

__all__ = ["JaxKandinsky3Denoiser"]

_LENGTH = 128  # tokens that our text encoder gets; a user's own states may have more
_STATES = "text_encoder_hidden_states"
_OF_TOKENS = (_STATES, "attention_mask", "projected_mask")


class JaxKandinsky3Denoiser(JaxDenoiser):
    """The UNet, whose conditioning has one row for each token of the longest text.

    Rows are filled up to a fixed number, and a mask says which rows are tokens: the UNet takes a
    mean over the tokens, which filling must not change.
    """

    def laid_out(self, conditioning: Mapping[str, Array]) -> dict[str, Array]:
        """See `JaxDenoiser.laid_out`."""
        arrays = super().laid_out(conditioning)
        rows, length = arrays[_STATES].shape[:2]
        filled = -(-length // _LENGTH) * _LENGTH
        for name in _OF_TOKENS:
            if name in arrays:
                array = arrays[name]
                missing = [(0, 0), (0, filled - length), *[(0, 0)] * (array.ndim - 2)]
                arrays[name] = np.pad(array, missing)
        present = np.arange(filled) < length
        arrays["present"] = np.repeat(present[None], rows, axis=0)
        return arrays
