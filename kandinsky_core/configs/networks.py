"""The one table of networks: the facts about each class that its config does not hold.

To add a network, write its config class and add an entry here. Each backend and the converters'
inventory then say in one table of their own, keyed by the config class, how they make it; a test
asserts that none of them lacks an entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kandinsky_core.configs.base import NetworkConfig
from kandinsky_core.configs.clip import CLIPTextConfig, CLIPVisionConfig
from kandinsky_core.configs.diffusion import (
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.configs.kandinsky2_0 import AutoencoderKLConfig, Kandinsky20UNetConfig
from kandinsky_core.configs.kandinsky3 import Kandinsky3UNetConfig
from kandinsky_core.configs.kandinsky3_controlnet import Kandinsky3ControlNetConfig
from kandinsky_core.configs.multilingual_clip import MultilingualCLIPConfig
from kandinsky_core.configs.super_resolution import SuperResUNetConfig
from kandinsky_core.configs.t5 import MT5Config, T5Config

__all__ = ["CODEBOOK", "NETWORKS", "NetworkClass", "tied_tensors", "unused_tensors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkClass:
    """The facts about one class of networks.

    Attributes:
        config: The class of its config.
        library: What `model_index.json` names beside the class: `diffusers`, `transformers`,
            `kandinsky`, the folder of diffusers' pipelines that holds MultilingualCLIP, or
            `kandinsky_core` for a network that only this library has. It decides
            how files of weights are named: see `kandinsky_core.checkpoints.file_names`.
        folder: The usual name of the component, and so of its folder in a model.
        dtype: The only dtype that a pipeline asks the network to compute in; None where the user
            chooses.
        instead: A dtype that the network cannot compute in, and the one that takes its place.
        blocks: How the names of a block's tensors begin, with the block's number as a group, where
            the network can be read block by block; None where it is read as a whole.
        beside: The class of network that it runs beside in one program, so that a device holds both
            at once; None where it runs alone.
        eight_bits: The whole name of a tensor that may be kept in 8 bits, or of a norm, which has
            one axis only; None where no tensor of the network may.
        unused: Names of tensors that files hold and that no pipeline uses, each with the reason.
        tied: Second names of tensors, under which a file may hold them too, or alone.
    """

    config: type[NetworkConfig]
    library: str
    folder: str
    dtype: str | None = None
    instead: Mapping[str, str] = field(default_factory=dict)
    blocks: re.Pattern[str] | None = None
    beside: type[NetworkConfig] | None = None
    eight_bits: re.Pattern[str] | None = None
    unused: Mapping[str, str] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The name of the class in `model_index.json`."""
        return self.config.CLASS_NAME


CODEBOOK = "quantize.embedding.weight"
"""The tensor of MoVQ that no pipeline reads."""

_POSITIONS = "the numbers 0, 1, 2, ..., which the network makes itself"
_MEAN = "the text embedding is a mean of all states"

# The sums of T5's family overflow float16, in which it was never trained.
_T5 = {"float16": "bfloat16"}
_TABLE = {"encoder.embed_tokens.weight": "shared.weight"}

# The table of tokens and all products, in the whole encoder or in a block by itself; not the table
# of distances.
_T5_PRODUCTS = re.compile(r"(.*\.)?(shared|[qkvo]|wi_[01]|wo)\.weight")
# All products and convolutions but three kinds. The first and the last convolution hold 0.01 % of
# the numbers and touch each pixel. What makes the embedding of the timestep is added to every
# block. Transposed convolutions have their outputs along another axis.
_UNET_PRODUCTS = re.compile(
    r"(?!conv_in\.|conv_out\.|time_embedding\.|add_embedding\.|add_time_condition\."
    r"|.*(up_sample|sampler)\.).*\.weight"
)

NETWORKS: Mapping[str, NetworkClass] = {
    entry.class_name: entry
    for entry in (
        NetworkClass(
            config=AutoencoderKLConfig, library="diffusers", folder="vae", dtype="float32"
        ),
        NetworkClass(
            config=CLIPTextConfig,
            library="transformers",
            folder="text_encoder",
            unused={"text_model.embeddings.position_ids": _POSITIONS},
        ),
        NetworkClass(
            config=CLIPVisionConfig,
            library="transformers",
            folder="image_encoder",
            unused={"vision_model.embeddings.position_ids": _POSITIONS},
        ),
        NetworkClass(
            config=Kandinsky20UNetConfig,
            library="kandinsky_core",
            folder="unet",
            eight_bits=_UNET_PRODUCTS,
        ),
        NetworkClass(
            config=Kandinsky3ControlNetConfig,
            library="kandinsky_core",
            folder="controlnet",
            beside=Kandinsky3UNetConfig,
        ),
        NetworkClass(
            config=Kandinsky3UNetConfig,
            library="diffusers",
            folder="unet",
            eight_bits=_UNET_PRODUCTS,
        ),
        NetworkClass(
            config=MT5Config,
            library="transformers",
            folder="text_encoder_2",
            instead=_T5,
            eight_bits=_T5_PRODUCTS,
            tied=_TABLE,
        ),
        NetworkClass(
            config=MultilingualCLIPConfig,
            library="kandinsky",
            folder="text_encoder",
            unused={
                "transformer.embeddings.position_ids": _POSITIONS,
                "transformer.pooler.dense.weight": _MEAN,
                "transformer.pooler.dense.bias": _MEAN,
            },
        ),
        NetworkClass(config=PriorTransformerConfig, library="diffusers", folder="prior"),
        NetworkClass(
            config=SuperResUNetConfig,
            library="kandinsky_core",
            folder="unet",
            eight_bits=_UNET_PRODUCTS,
        ),
        NetworkClass(
            config=T5Config,
            library="transformers",
            folder="text_encoder",
            instead=_T5,
            eight_bits=_T5_PRODUCTS,
            blocks=re.compile(r"encoder\.block\.(\d+)\.(?!.*relative_attention_bias)"),
            tied=_TABLE,
        ),
        NetworkClass(
            config=UNet2DConditionConfig,
            library="diffusers",
            folder="unet",
            eight_bits=_UNET_PRODUCTS,
        ),
        NetworkClass(
            config=VQModelConfig,
            library="diffusers",
            folder="movq",
            # It overflows and bands in half precision, and takes little of the time.
            dtype="float32",
            unused={CODEBOOK: "no pipeline quantises its latents"},
        ),
    )
}
"""The networks of all families, by their class names in `model_index.json`."""


def unused_tensors(class_name: str) -> Mapping[str, str]:
    """Return the tensors of a network that files hold and no pipeline uses, each with the reason.

    A class that is not in `NETWORKS` has none.
    """
    return NETWORKS[class_name].unused if class_name in NETWORKS else {}


def tied_tensors(class_name: str) -> Mapping[str, str]:
    """Return the second names of a network's tensors, each with the first one.

    A class that is not in `NETWORKS` has none.
    """
    return NETWORKS[class_name].tied if class_name in NETWORKS else {}
