"""Keeps what an image encoder makes of the all-zero picture, which most requests need."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from kandinsky_backend_kit.adapted_network import AdaptedNetwork
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.compile_only import compiling_only

__all__ = ["KeepsZeroPicture"]


class KeepsZeroPicture(AdaptedNetwork):
    """Base of each backend's image encoder: it encodes the all-zero picture once.

    The embedding of that picture is the unconditional input of the decoders of 2.1 and 2.2, and of
    IP-Adapters. It depends on the weights alone, and the encoder is the largest network of 2.2: on
    a CPU it takes as long as one or two steps of the UNet, and with offloading it would be brought
    to the device for nothing else.
    """

    _kept: tuple[object, FloatArray] | None = None
    _weights_now: object = None  # another object after each change; None for those of the files

    @abstractmethod
    def _encode(self, pixel_values: FloatArray) -> FloatArray: ...

    def encode(self, pixel_values: FloatArray) -> FloatArray:
        """See `kandinsky_core.seam.networks.ImageEncoder.encode`."""
        if compiling_only() or pixel_values.any():
            return self._encode(pixel_values)
        # A thread may change weights meanwhile: then this stands for the earlier ones.
        key = pixel_values.shape, self._weights_now
        kept = self._kept
        if kept is None or kept[0] != key:
            kept = self._kept = key, self._encode_zeros(pixel_values)
        return kept[1].copy()

    def _encode_zeros(self, pixel_values: FloatArray) -> FloatArray:
        """Encode the all-zero picture; a backend may know the result from an earlier process."""
        # What a backend gives may be a window into a device's memory.
        return self._encode(pixel_values).copy()

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Move or cast the weights, as the backend does it."""
        own: Any = self  # a backend's network, which lies on a device
        place, before = (own.device, own.dtype), self._weights_now
        meanwhile = self._weights_now = object()  # for other threads
        try:
            super().move(device=device, dtype=dtype)  # type: ignore[safe-super]  # a backend's
        finally:
            if (own.device, own.dtype) != place:
                self._weights_now = object()
            elif self._weights_now is meanwhile:
                self._weights_now = before

    def _write_weights(self, values: Mapping[str, Array]) -> None:
        self._weights_now = object()  # for other threads, which may see some of the new weights
        try:
            super()._write_weights(values)  # type: ignore[safe-super]  # a backend's
        finally:
            self._weights_now = object()
