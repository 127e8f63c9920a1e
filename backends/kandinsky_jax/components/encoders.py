"""The encoders and the autoencoder behind the core's interfaces: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from kandinsky_backend_kit.kept_zero_picture import KeepsZeroPicture
from kandinsky_backend_kit.tiled_autoencoder import TiledAutoencoder
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.tensors import Tensors
from kandinsky_jax.components.network import JaxNetwork, to_channels_first, to_channels_last
from kandinsky_jax.programs.program import Program
from kandinsky_jax.runtime import at_work, own_settings
from kandinsky_jax.weights.kept_zero_picture import (
    KeptZeroPicture,
    KnownFiles,
    kept_zero_picture,
    known_files,
)
from kandinsky_jax.weights.later_weights import LaterWeights
from kandinsky_jax.weights.network_form import NetworkForm, jax_dtype

__all__ = [
    "JaxAutoencoder",
    "JaxImageEncoder",
    "JaxMultilingualTextEncoder",
    "JaxT5TextEncoder",
    "JaxTextEncoder",
]


def _run(
    form: NetworkForm, function: Callable[..., Any], weights: Any, *values: Any
) -> tuple[Any, ...]:
    result = function(form.build(weights), *values)
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(part.astype(jnp.float32) for part in parts)


def _encode(network: Any, *values: Any) -> Any:
    return network(*values)


def _encode_pixels(dtype: str, network: Any, pixels: Any) -> Any:
    return network(to_channels_last(pixels).astype(jax_dtype(dtype)))


def _convert(dtype: str, method: str, network: Any, value: Any) -> Any:
    value = to_channels_last(value).astype(jax_dtype(dtype))
    return to_channels_first(getattr(network, method)(value))


class _SingleCall(JaxNetwork):
    """Base of networks that a stage calls once and not in a loop."""

    def _call(
        self, name: str, function: Callable[..., Any], *arguments: Array
    ) -> tuple[FloatArray, ...]:
        """Compile `function(network, *arguments)` for the arguments' shapes and run it."""
        if name not in self._programs:
            label = f"{type(self).__name__.removeprefix('Jax')}.{name}"
            run = partial(_run, self._form, function)
            self._programs[name] = Program(label, run, self._log, network=self._form)
        with at_work(self.device):
            batch = self._place.batch(arguments[0])
            parts = self._programs[name](batch, self.placed_weights(), *arguments)
            return tuple(map(batch.read, parts))


class JaxTextEncoder(_SingleCall):
    """CLIP's text model with projection."""

    def encode(self, input_ids: Array) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.TextEncoder.encode`."""
        embeds, hidden = self._call("encode", _encode, input_ids)
        return embeds, hidden


class JaxMultilingualTextEncoder(_SingleCall):
    """XLM-RoBERTa with projection."""

    def encode(self, input_ids: Array, attention_mask: Array) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.MultilingualTextEncoder.encode`."""
        embeds, hidden = self._call("encode", _encode, input_ids, attention_mask)
        return embeds, hidden


class JaxT5TextEncoder(_SingleCall):
    """T5's encoder."""

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """See `kandinsky_core.seam.networks.T5TextEncoder.encode`.

        Texts are encoded one at a time, so that one program serves any number of them.
        """
        rows = zip(input_ids[:, None], attention_mask[:, None], strict=True)
        return np.concatenate([self._call("encode", _encode, *row)[0] for row in rows])


class JaxImageEncoder(KeepsZeroPicture, _SingleCall):
    """CLIP's vision model with projection.

    Where an earlier process kept the embedding of the all-zero picture, the weights are not read
    before another picture is encoded.
    """

    _files: KnownFiles | None = None

    def require_weights(self, tensors: Tensors) -> None:
        """Read the weights, unless the embedding that most requests need is known."""
        self._files = known_files(tensors)
        size, channels = self.config.image_size, self.config.num_channels
        kept = self._kept_zeros((1, channels, size, size))
        if kept is not None and kept.get() is not None and isinstance(self._held, LaterWeights):
            self._held.hold_files()
        else:
            super().require_weights(tensors)

    def _encode_zeros(self, pixel_values: FloatArray) -> FloatArray:
        kept = self._kept_zeros(pixel_values.shape)
        known = None if kept is None else kept.get()
        if known is not None:
            return known
        made = super()._encode_zeros(pixel_values)
        # Meanwhile another thread may have changed weights, or somebody a function or a setting.
        if kept is not None and self._kept_zeros(pixel_values.shape) == kept:
            kept.put(made)
        return made

    def _kept_zeros(self, pixels: tuple[int, ...]) -> KeptZeroPicture | None:
        """Return where the embedding is kept, if the weights are still those of the files."""
        if self._files is None or self._weights_now is not None:
            return None
        with own_settings():
            return kept_zero_picture(self._form, self._place, self._files, pixels)

    def _encode(self, pixel_values: FloatArray) -> FloatArray:
        return self._call("encode", partial(_encode_pixels, self.dtype), pixel_values)[0]


class JaxAutoencoder(TiledAutoencoder, _SingleCall):
    """MoVQ, the autoencoder between pixels and latents."""

    def _encode(self, pixels: FloatArray) -> FloatArray:
        return self._convert("encode", pixels)

    def _decode(self, latents: FloatArray) -> FloatArray:
        return self._convert("decode", latents)

    def _convert(self, method: str, array: FloatArray) -> FloatArray:
        return self._call(method, partial(_convert, self.dtype, method), array)[0]
