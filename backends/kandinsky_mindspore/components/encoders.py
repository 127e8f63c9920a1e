"""The encoders and the autoencoder behind the core's interfaces: NumPy in, NumPy out."""

from __future__ import annotations

import numpy as np

from kandinsky_backend_kit.kept_zero_picture import KeepsZeroPicture
from kandinsky_backend_kit.tiled_autoencoder import TiledAutoencoder
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_mindspore.components.network import MindSporeNetwork, to_numpy
from kandinsky_mindspore.runtime import LOCK

__all__ = [
    "MindSporeAutoencoder",
    "MindSporeImageEncoder",
    "MindSporeKLAutoencoder",
    "MindSporeMultilingualTextEncoder",
    "MindSporeT5TextEncoder",
    "MindSporeTextEncoder",
]


class MindSporeTextEncoder(MindSporeNetwork):
    """CLIP's text model with projection."""

    def encode(self, input_ids: Array) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.TextEncoder.encode`."""
        with LOCK:
            embeds, hidden, *_ = self._cell(self.tensor(input_ids.astype(np.int32)))
            return to_numpy(embeds), to_numpy(hidden)


class MindSporeMultilingualTextEncoder(MindSporeNetwork):
    """XLM-RoBERTa with projection."""

    def encode(self, input_ids: Array, attention_mask: Array) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.MultilingualTextEncoder.encode`."""
        with LOCK:
            ids, mask = (
                self.tensor(array.astype(np.int32)) for array in (input_ids, attention_mask)
            )
            embeds, hidden = self._cell(ids, mask)
            return to_numpy(embeds), to_numpy(hidden)


class MindSporeT5TextEncoder(MindSporeNetwork):
    """T5's encoder."""

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """See `kandinsky_core.seam.networks.T5TextEncoder.encode`.

        Texts are encoded one at a time: several at once would need more memory and no less time.
        """
        rows = zip(input_ids[:, None], attention_mask[:, None], strict=True)
        return np.concatenate([self._encode(*row) for row in rows])

    def _encode(self, *arrays: Array) -> FloatArray:
        with LOCK:
            ids, mask = (self.tensor(array.astype(np.int32)) for array in arrays)
            return to_numpy(self._cell(ids, mask)[0])


class MindSporeImageEncoder(KeepsZeroPicture, MindSporeNetwork):
    """CLIP's vision model with projection."""

    def _encode(self, pixel_values: FloatArray) -> FloatArray:
        with LOCK:
            return to_numpy(self._cell(self.tensor(pixel_values))[0])


class MindSporeAutoencoder(TiledAutoencoder, MindSporeNetwork):
    """MoVQ, the autoencoder between pixels and latents."""

    def _encode(self, pixels: FloatArray) -> FloatArray:
        with LOCK:
            return to_numpy(self._cell.encode(self.tensor(pixels))[0])

    def _decode(self, latents: FloatArray) -> FloatArray:
        with LOCK:
            return to_numpy(self._cell.decode(self.tensor(latents), force_not_quantize=True)[0])


class MindSporeKLAutoencoder(MindSporeAutoencoder):
    """AutoencoderKL; `encode` gives means and logarithms of variances."""

    def _decode(self, latents: FloatArray) -> FloatArray:
        with LOCK:
            return to_numpy(self._cell.decode(self.tensor(latents))[0])
