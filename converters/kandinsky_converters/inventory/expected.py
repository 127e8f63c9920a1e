"""Which tensors a network consists of, worked out from its config alone.

The rules are those of the published checkpoints; no framework is needed. The names are those of
diffusers and transformers, the shapes those of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kandinsky_converters.inventory.clip import clip_text, clip_vision, multilingual_clip
from kandinsky_converters.inventory.kandinsky2 import autoencoder_kl, movq, prior, unet
from kandinsky_converters.inventory.kandinsky3 import (
    kandinsky3_controlnet,
    kandinsky3_unet,
    t5_encoder,
)
from kandinsky_converters.inventory.layer_table import Config, LayerTable, Shape
from kandinsky_converters.inventory.super_resolution import super_resolution_unet
from kandinsky_core.configs import (
    NETWORKS,
    AutoencoderKLConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    Kandinsky3ControlNetConfig,
    Kandinsky3UNetConfig,
    Kandinsky20UNetConfig,
    MT5Config,
    MultilingualCLIPConfig,
    NetworkConfig,
    PriorTransformerConfig,
    SuperResUNetConfig,
    T5Config,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.errors import ConfigError

__all__ = ["INVENTORIES", "expected_tensors"]


def expected_tensors(class_name: str, config: Config) -> dict[str, Shape]:
    """Return the shape of each tensor by its name.

    Args:
        class_name: The network's class, as in `model_index.json`.
        config: The parsed config.json.

    Raises:
        ConfigError: The class is none of `NETWORKS`, or its config refuses a field, lacks one, or
            belongs to another class.
    """
    if class_name not in NETWORKS:
        raise ConfigError(
            f"{class_name}: no such network can be converted; there are {', '.join(NETWORKS)}"
        )
    kind = NETWORKS[class_name].config
    kind.check_values(config)  # the inventories take numbers of layers as they are
    try:
        return INVENTORIES[kind](config).shapes
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"{class_name}: config.json does not describe this network ({error!r}); "
            "use the file that belongs to the weights"
        ) from error


INVENTORIES: Mapping[type[NetworkConfig], Callable[[Config], LayerTable]] = {
    AutoencoderKLConfig: autoencoder_kl,
    CLIPTextConfig: clip_text,
    CLIPVisionConfig: clip_vision,
    Kandinsky20UNetConfig: unet,
    Kandinsky3ControlNetConfig: kandinsky3_controlnet,
    Kandinsky3UNetConfig: kandinsky3_unet,
    MT5Config: t5_encoder,
    MultilingualCLIPConfig: multilingual_clip,
    PriorTransformerConfig: prior,
    SuperResUNetConfig: super_resolution_unet,
    T5Config: t5_encoder,
    UNet2DConditionConfig: unet,
    VQModelConfig: movq,
}
"""What lists the tensors of each network of the table in `kandinsky_core.configs.networks`."""
