"""Which tensors a network consists of, worked out from its config alone.

The rules are those of the published checkpoints; no framework is needed. The names are those of
diffusers and transformers, the shapes those of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kandinsky_converters.inventory.clip import clip_text, clip_vision, multilingual_clip
from kandinsky_converters.inventory.kandinsky2 import movq, prior, unet
from kandinsky_converters.inventory.kandinsky3 import kandinsky3_unet, t5_encoder
from kandinsky_converters.inventory.layer_table import Config, LayerTable, Shape
from kandinsky_core.errors import ConfigError

__all__ = ["NETWORKS", "expected_tensors"]


def expected_tensors(class_name: str, config: Config) -> dict[str, Shape]:
    """Return the shape of each tensor by its name.

    Args:
        class_name: The network's class, as in `model_index.json`.
        config: The parsed config.json.

    Raises:
        ConfigError: The class is none of `NETWORKS`, or the config lacks a field or belongs to
            another class.
    """
    if class_name not in NETWORKS:
        raise ConfigError(
            f"{class_name}: no such network can be converted; there are {', '.join(NETWORKS)}"
        )
    try:
        return NETWORKS[class_name](config).shapes
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"{class_name}: config.json does not describe this network ({error!r}); "
            "use the file that belongs to the weights"
        ) from error


NETWORKS: Mapping[str, Callable[[Config], LayerTable]] = {
    "CLIPTextModelWithProjection": clip_text,
    "CLIPVisionModelWithProjection": clip_vision,
    "Kandinsky3UNet": kandinsky3_unet,
    "MultilingualCLIP": multilingual_clip,
    "PriorTransformer": prior,
    "T5EncoderModel": t5_encoder,
    "UNet2DConditionModel": unet,
    "VQModel": movq,
}
"""The networks that can be converted, by class name."""
