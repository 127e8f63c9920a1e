"""diffusers' and transformers' networks behind the core's interfaces: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kandinsky_backend_kit.guided_step import ArrayFunctions, clean_sample, guided_step
from kandinsky_backend_kit.host_memory import host_memory
from kandinsky_backend_kit.tiled_autoencoder import TiledAutoencoder
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import (
    CLIPTextConfig,
    CLIPVisionConfig,
    Kandinsky3UNetConfig,
    MultilingualCLIPConfig,
    NetworkConfig,
    PriorTransformerConfig,
    T5Config,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.seam.device_memory import DeviceMemory
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule

__all__ = ["CLASSES", "TorchNetwork"]

_FUNCTIONS = ArrayFunctions(
    concatenate=np.concatenate,
    split_channels=lambda array, count: np.split(array, [count], axis=1),
    halve=lambda array: np.split(array, 2),
    sort=np.sort,
)


class TorchNetwork:
    """Base of the components: a PyTorch network with its config."""

    backend_name = "diffusers"
    compilations = None

    def __init__(self, network: Any, config: NetworkConfig) -> None:
        self.network = network.eval()
        self.config = config

    @property
    def dtype(self) -> str:
        """Name of the dtype of the weights."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def device(self) -> str:
        """The reference runs on the CPU alone, where its random numbers are defined."""
        return "cpu"

    def memory(self) -> DeviceMemory | None:
        """Return the host's memory."""
        return host_memory()

    def to(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """Refuse: the reference stays as it was loaded."""
        raise NotImplementedError("the reference runs on the CPU, in the dtype it was loaded in")

    def offload(self) -> None:
        """Do nothing: on the CPU there is nothing to offload."""

    def _tensor(self, array: Array) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.network.dtype) if tensor.is_floating_point() else tensor


class TorchTextEncoder(TorchNetwork):
    """CLIP text model with projection."""

    def encode(self, input_ids: Array) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.TextEncoder.encode`."""
        with torch.no_grad():
            output = self.network(torch.from_numpy(input_ids.astype(np.int64)))
        return _array(output.text_embeds), _array(output.last_hidden_state)


class TorchMultilingualTextEncoder(TorchNetwork):
    """XLM-RoBERTa with projection."""

    def encode(self, input_ids: Array, attention_mask: Array) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.MultilingualTextEncoder.encode`."""
        with torch.no_grad():
            embeds, hidden = self.network(
                torch.from_numpy(input_ids.astype(np.int64)),
                torch.from_numpy(attention_mask.astype(np.int64)),
            )
        return _array(embeds), _array(hidden)


class TorchT5TextEncoder(TorchNetwork):
    """T5's encoder."""

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        """See `kandinsky_core.seam.networks.T5TextEncoder.encode`."""
        with torch.no_grad():
            output = self.network(
                torch.from_numpy(input_ids.astype(np.int64)),
                attention_mask=torch.from_numpy(attention_mask.astype(np.int64)),
            )
        return _array(output.last_hidden_state)


class TorchImageEncoder(TorchNetwork):
    """CLIP vision model with projection."""

    def encode(self, pixel_values: FloatArray) -> FloatArray:
        """See `kandinsky_core.seam.networks.ImageEncoder.encode`."""
        with torch.no_grad():
            return _array(self.network(self._tensor(pixel_values)).image_embeds)


class TorchAutoencoder(TiledAutoencoder, TorchNetwork):
    """MoVQ, which is in float32 whatever dtype the UNet has."""

    def __init__(self, network: Any, config: NetworkConfig) -> None:
        super().__init__(network, config)
        decode = network.decode
        # diffusers' pipeline of Kandinsky 3 hands over the UNet's dtype.
        network.decode = lambda latents, *words, **options: decode(
            latents.to(network.dtype), *words, **options
        )

    def _encode(self, pixels: FloatArray) -> FloatArray:
        with torch.no_grad():
            return _array(self.network.encode(self._tensor(pixels)).latents)

    def _decode(self, latents: FloatArray) -> FloatArray:
        with torch.no_grad():
            return _array(
                self.network.decode(self._tensor(latents), force_not_quantize=True).sample
            )


class TorchDenoiser(TorchNetwork):
    """The UNet."""

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> TorchRun:
        """See `kandinsky_core.seam.networks.Denoiser.begin`."""
        return TorchRun(self, sample, conditioning, guidance_scale, rule, kept, guidance_rescale)

    def predict(self, sample: Any, timestep: float, conditioning: Mapping[str, Any]) -> Any:
        """Return the network's output for one step."""
        added = dict(conditioning)
        states = added.pop("text_encoder_hidden_states", None)
        if "image_latents" in added:
            sample = torch.cat([sample, added.pop("image_latents")], dim=1)
        return self.network(sample, timestep, states, added_cond_kwargs=added).sample


class TorchKandinsky3Denoiser(TorchDenoiser):
    """The UNet of Kandinsky 3."""

    def predict(self, sample: Any, timestep: float, conditioning: Mapping[str, Any]) -> Any:
        """Return the network's output for one step."""
        return self.network(
            sample,
            timestep,
            encoder_hidden_states=conditioning["text_encoder_hidden_states"],
            encoder_attention_mask=conditioning["attention_mask"],
        ).sample


class TorchPrior(TorchDenoiser):
    """The prior."""

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.PriorDenoiser.clip_statistics`."""
        return _array(self.network.clip_mean), _array(self.network.clip_std)

    def predict(self, sample: Any, timestep: float, conditioning: Mapping[str, Any]) -> Any:
        """Return the network's output for one step."""
        return self.network(
            sample,
            timestep,
            conditioning["prompt_embeds"],
            conditioning["text_encoder_hidden_states"],
            conditioning["text_mask"],
        ).predicted_image_embedding


class TorchRun:
    """One loop under way; see `kandinsky_core.seam.networks.DenoisingRun`."""

    def __init__(
        self,
        denoiser: TorchDenoiser,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        rule: StepRule,
        kept: Kept | None,
        guidance_rescale: float | None = None,
    ) -> None:
        self._denoiser, self._scale, self._rescale = denoiser, guidance_scale, guidance_rescale
        self._rule, self._kept = rule, kept
        self._sample: FloatArray = np.array(sample, np.float32)
        self._remembered: Any = None
        self.condition(conditioning)

    def step(self, timestep: float, row: FloatArray, noise: FloatArray | None) -> None:
        """See `kandinsky_core.seam.networks.DenoisingRun.step`."""

        def predict(rows: FloatArray) -> FloatArray:
            tensor = self._denoiser._tensor(rows)
            with torch.no_grad():
                return _array(self._denoiser.predict(tensor, timestep, self._conditioning))

        self._sample, self._remembered = guided_step(
            _FUNCTIONS,
            predict,
            row,
            self._sample,
            self._remembered,
            noise,
            channels=self._sample.shape[1],
            guidance_scale=np.float32(self._scale) if self._scale > 1 else None,
            rule=self._rule,
            kept=self._kept,
            guidance_rescale=None if self._rescale is None else np.float32(self._rescale),
        )

    def read(self) -> FloatArray:
        """See `kandinsky_core.seam.networks.DenoisingRun.read`."""
        return self._sample.copy()

    def predicted(self) -> FloatArray:
        """See `kandinsky_core.seam.networks.DenoisingRun.predicted`."""
        return clean_sample(self._remembered, self._sample.shape, np.array)

    def write(self, sample: FloatArray) -> None:
        """See `kandinsky_core.seam.networks.DenoisingRun.write`."""
        self._sample = np.array(sample, np.float32)

    def condition(
        self,
        conditioning: Mapping[str, Array],
        *,
        guidance_scale: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        """See `kandinsky_core.seam.networks.DenoisingRun.condition`."""
        self._scale = self._scale if guidance_scale is None else guidance_scale
        self._kept = self._kept if kept is None else kept
        self._conditioning = {
            name: self._denoiser._tensor(np.asarray(array)) for name, array in conditioning.items()
        }


def _array(tensor: Any) -> FloatArray:
    values: FloatArray = tensor.detach().float().numpy().copy()
    return values


CLASSES: Mapping[type[NetworkConfig], type[TorchNetwork]] = {
    CLIPTextConfig: TorchTextEncoder,
    CLIPVisionConfig: TorchImageEncoder,
    Kandinsky3UNetConfig: TorchKandinsky3Denoiser,
    MultilingualCLIPConfig: TorchMultilingualTextEncoder,
    PriorTransformerConfig: TorchPrior,
    T5Config: TorchT5TextEncoder,
    UNet2DConditionConfig: TorchDenoiser,
    VQModelConfig: TorchAutoencoder,
}
"""The component of each network that `kandinsky verify` compares with diffusers'."""
