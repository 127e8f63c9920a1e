"""A backend of NumPy that takes real configs and files, so that commands run without a framework.

It is said to have an accelerator, so that loading goes the longest way, and it accounts for every
tensor of the files, as real backends do. What its networks give means nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kandinsky_backend_kit.t5_parts import T5Parts
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import account
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import NETWORKS
from kandinsky_core.seam.backend import BackendReport, DeviceMemory
from kandinsky_core.seam.tensors import ComponentSource
from tests.support.fakes import FakeAutoencoder, FakeControlNet, FakeDenoiser, FakeNetwork

__all__ = ["FakeBackend"]


class FakeBackend:
    """See the module."""

    name = "fake"
    cache_folder = None

    def memory(self, device: str | None = None) -> DeviceMemory:
        return DeviceMemory(
            device=device or "gpu:0", total=2**40, free=2**40, host=False, filled_by_load=True
        )

    def load(self, source: ComponentSource, dtype: str, device: str | None = None) -> Any:
        class_name, tensors = source.class_name, source.tensors()
        for name in account(class_name, expected_tensors(class_name, source.config), tensors):
            tensors.read(name)
        made = _CLASSES[class_name]()
        made.config = NETWORKS[class_name].config.from_dict(source.config)
        made.dtype, made.device = dtype, device or "gpu:0"
        return made

    def load_streamed(self, source: ComponentSource, dtype: str, device: str | None = None) -> Any:
        made: Any = _T5TextEncoder()
        made.config = NETWORKS[source.class_name].config.from_dict(source.config)
        T5Parts(source.tensors(), made.config)
        made.dtype, made.device = dtype, device or "gpu:0"
        return made

    def report(self) -> BackendReport:
        return BackendReport(name=self.name, available=True, versions={})


class _TextEncoder(FakeNetwork):
    config: Any

    def encode(self, input_ids: Array) -> tuple[FloatArray, FloatArray]:
        rows, length = input_ids.shape
        embeds = np.ones((rows, self.config.projection_dim), np.float32)
        return embeds, np.ones((rows, length, self.config.hidden_size), np.float32)


class _ImageEncoder(FakeNetwork):
    config: Any

    def encode(self, pixel_values: FloatArray) -> FloatArray:
        return np.ones((len(pixel_values), self.config.projection_dim), np.float32)


class _MultilingualTextEncoder(FakeNetwork):
    config: Any

    def encode(self, input_ids: Array, attention_mask: Array) -> tuple[FloatArray, FloatArray]:
        rows, length = input_ids.shape
        embeds = np.ones((rows, self.config.numDims), np.float32)
        return embeds, np.ones((rows, length, self.config.hidden_size), np.float32)


class _T5TextEncoder(FakeNetwork):
    config: Any

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        return np.ones((*input_ids.shape, self.config.d_model), np.float32)


class _Prior(FakeDenoiser):
    config: Any

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        shape = (1, self.config.embedding_dim)
        return np.zeros(shape, np.float32), np.ones(shape, np.float32)


class _Autoencoder(FakeAutoencoder):
    config: Any

    @property
    def _factor(self) -> int:
        return int(2 ** (len(self.config.block_out_channels) - 1))

    def _encode(self, pixels: FloatArray) -> FloatArray:
        cells = pixels[:, :1, :: self._factor, :: self._factor]
        return np.repeat(cells, self.config.latent_channels, axis=1)

    def _decode(self, latents: FloatArray) -> FloatArray:
        return np.repeat(latents[:, :1], 3, axis=1).repeat(self._factor, 2).repeat(self._factor, 3)


class _KLAutoencoder(_Autoencoder):
    def _encode(self, pixels: FloatArray) -> FloatArray:
        return np.repeat(super()._encode(pixels), 2, axis=1)


_CLASSES: dict[str, type[Any]] = {
    "AutoencoderKL": _KLAutoencoder,
    "CLIPTextModelWithProjection": _TextEncoder,
    "CLIPVisionModelWithProjection": _ImageEncoder,
    "Kandinsky20UNet": FakeDenoiser,
    "Kandinsky3ControlNetModel": FakeControlNet,
    "Kandinsky3UNet": FakeDenoiser,
    "MT5EncoderModel": _T5TextEncoder,
    "MultilingualCLIP": _MultilingualTextEncoder,
    "PriorTransformer": _Prior,
    "T5EncoderModel": _T5TextEncoder,
    "UNet2DConditionModel": FakeDenoiser,
    "VQModel": _Autoencoder,
}
