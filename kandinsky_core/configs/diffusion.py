"""Configs of the networks that diffusers saves: the UNet, the prior and MoVQ.

Field names, defaults and meanings are those of diffusers' classes of the same name. A field has no
default here where diffusers' default differs from the value in every published Kandinsky model. A
file that omits such a field is refused rather than misread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.rules import COUNT, SIZE, list_of, one_of, optional

__all__ = ["PriorTransformerConfig", "UNet2DConditionConfig", "VQModelConfig"]

# `dropout` acts in training only; `_use_default_values` is diffusers' memory of omitted arguments.
BOOKKEEPING = frozenset(
    {"_diffusers_version", "_name_or_path", "_commit_hash", "_use_default_values", "dropout"}
)

# For each value of `addition_embed_type` the `encoder_hid_dim_type` that belongs to it: the first
# says what is added to the time embedding, the second what makes the tokens of the attention.
_TOKENS_OF_EMBEDDING = {
    "image": "image_proj",
    "image_hint": "image_proj",
    "text_image": "text_image_proj",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class UNet2DConditionConfig(NetworkConfig):
    """The decoder's denoiser. Widths are channels; `attention_head_dim` is a head's width."""

    CLASS_NAME: ClassVar[str] = "UNet2DConditionModel"
    TOKENS_OF_EMBEDDING: ClassVar[Mapping[str, str]] = _TOKENS_OF_EMBEDDING
    FIXED: ClassVar[Mapping[str, object]] = {
        "act_fn": "silu",
        "addition_embed_type_num_heads": 64,
        "addition_time_embed_dim": None,
        "attention_type": "default",
        "center_input_sample": False,
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "cross_attention_norm": None,
        "downsample_padding": 1,
        "dual_cross_attention": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "mid_block_only_cross_attention": None,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
        "num_attention_heads": None,
        "num_class_embeds": None,
        "only_cross_attention": False,
        "projection_class_embeddings_input_dim": None,
        "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": False,
        "reverse_transformer_layers_per_block": None,
        "time_cond_proj_dim": None,
        "time_embedding_act_fn": None,
        "time_embedding_dim": None,
        "time_embedding_type": "positional",
        "timestep_post_act": None,
        "transformer_layers_per_block": 1,
        "upcast_attention": False,
        "use_linear_projection": False,
    }
    IGNORED: ClassVar[frozenset[str]] = BOOKKEEPING

    in_channels: int = spec(SIZE)
    out_channels: int = spec(SIZE)
    block_out_channels: tuple[int, ...] = spec(list_of(SIZE))
    down_block_types: tuple[str, ...] = spec(
        list_of(one_of("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"))
    )
    up_block_types: tuple[str, ...] = spec(
        list_of(one_of("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"))
    )
    mid_block_type: str = spec(one_of("UNetMidBlock2DSimpleCrossAttn"))
    resnet_time_scale_shift: str = spec(one_of("scale_shift"))
    layers_per_block: int = spec(COUNT)
    attention_head_dim: int = spec(SIZE)
    cross_attention_dim: int = spec(SIZE)
    addition_embed_type: str = spec(one_of(*_TOKENS_OF_EMBEDDING))
    encoder_hid_dim: int = spec(SIZE)
    encoder_hid_dim_type: str = spec(one_of(*dict.fromkeys(_TOKENS_OF_EMBEDDING.values())))
    norm_num_groups: int = spec(SIZE, 32)
    sample_size: int | None = spec(optional(SIZE), None)

    @property
    def time_embed_dim(self) -> int:
        """Width of the time embedding: four times the width of the first level."""
        return 4 * self.block_out_channels[0]

    @property
    def latent_channels(self) -> int:
        """Channels of a sample; the output holds as many again for the variance."""
        return self.out_channels // 2

    @property
    def takes_text(self) -> bool:
        """Whether the network reads texts too (Kandinsky 2.1)."""
        return self.addition_embed_type == "text_image"

    @property
    def family(self) -> str:
        """The models that the network belongs to: Kandinsky `2.1` or `2.2`."""
        return "2.1" if self.takes_text else "2.2"

    @property
    def image_embed_dim(self) -> int:
        """Width of the image embeddings.

        In a UNet that reads texts `encoder_hid_dim` is the width of the texts.
        """
        return self.cross_attention_dim if self.takes_text else self.encoder_hid_dim

    @property
    def takes_hint(self) -> bool:
        """Whether the network is a ControlNet."""
        return self.addition_embed_type == "image_hint"

    @property
    def conditioning_names(self) -> tuple[str, ...]:
        """The conditioning that the network reads, besides `image_latents`."""
        of_text = ("text_embeds", "text_encoder_hidden_states") if self.takes_text else ()
        return "image_embeds", *of_text, *(("hint",) if self.takes_hint else ())

    @property
    def image_latents(self) -> int:
        """Channels that inpainting appends to the sample: masked latents and the mask; else 0."""
        return 0 if self.takes_hint else self.in_channels - self.latent_channels

    @property
    def kind(self) -> str:
        """The task that the network was trained for: `decoder`, `inpaint` or `controlnet`."""
        if self.takes_hint:
            return "controlnet"
        return "inpaint" if self.image_latents > 0 else "decoder"

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be multiples of this: each level but the last halves."""
        return int(2 ** (len(self.block_out_channels) - 1))

    def _check_together(self) -> None:
        levels = len(self.block_out_channels)
        for name in ("down_block_types", "up_block_types"):
            if len(getattr(self, name)) != levels:
                raise self._refuse(name, f"{levels} items, one for each of block_out_channels")
        if any(width % self.norm_num_groups for width in self.block_out_channels):
            raise self._refuse(
                "block_out_channels",
                f"multiples of {self.norm_num_groups}, the"
                " number of groups of the norms (norm_num_groups)",
            )
        if self.block_out_channels[0] % 2:
            raise self._refuse(
                "block_out_channels",
                "an even first width, which the cosines and sines of the timestep share",
            )
        if any(width % self.attention_head_dim for width in self._attention_widths()):
            raise self._refuse(
                "attention_head_dim", "a divisor of the width of each level that has attention"
            )
        tokens = self.TOKENS_OF_EMBEDDING[self.addition_embed_type]
        if self.encoder_hid_dim_type != tokens:
            raise self._refuse(
                "encoder_hid_dim_type",
                f"{tokens!r}, as addition_embed_type is {self.addition_embed_type!r}",
            )

    def _attention_widths(self) -> set[int]:
        widths = self.block_out_channels
        down = zip(self.down_block_types, widths, strict=True)
        up = zip(self.up_block_types, reversed(widths), strict=True)
        return {widths[-1]} | {
            width for kind, width in (*down, *up) if kind.startswith("SimpleCrossAttn")
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorTransformerConfig(NetworkConfig):
    """The prior: a transformer from text states to a CLIP image embedding."""

    CLASS_NAME: ClassVar[str] = "PriorTransformer"
    FIXED: ClassVar[Mapping[str, object]] = {
        "added_emb_type": "prd",
        "additional_embeddings": 4,  # text embedding, time, noisy image embedding, learned query
        "clip_embed_dim": None,
        "embedding_proj_dim": None,
        "embedding_proj_norm_type": None,
        "encoder_hid_proj_type": "linear",
        "norm_in_type": None,
        "time_embed_act_fn": "silu",
        "time_embed_dim": None,
    }
    IGNORED: ClassVar[frozenset[str]] = BOOKKEEPING

    num_attention_heads: int = spec(SIZE, 32)
    attention_head_dim: int = spec(SIZE, 64)
    num_layers: int = spec(COUNT, 20)
    embedding_dim: int = spec(SIZE, 768)
    num_embeddings: int = spec(SIZE, 77)

    @property
    def inner_dim(self) -> int:
        """Width of the transformer."""
        return self.num_attention_heads * self.attention_head_dim

    def _check_together(self) -> None:
        if self.inner_dim % 2:
            raise self._refuse(
                "attention_head_dim",
                "such that times num_attention_heads it is"
                " even, as the cosines and sines of the timestep share it",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class VQModelConfig(NetworkConfig):
    """MoVQ, the autoencoder between pixels and latents."""

    CLASS_NAME: ClassVar[str] = "VQModel"
    FIXED: ClassVar[Mapping[str, object]] = {
        "act_fn": "silu",
        "force_upcast": False,
        "lookup_from_codebook": False,
        "mid_block_add_attention": True,
    }
    # No Kandinsky pipeline scales latents by `scaling_factor`, and no layer reads `sample_size`.
    IGNORED: ClassVar[frozenset[str]] = BOOKKEEPING | {"sample_size", "scaling_factor"}

    in_channels: int = spec(SIZE, 3)
    out_channels: int = spec(SIZE, 3)
    latent_channels: int = spec(SIZE)
    block_out_channels: tuple[int, ...] = spec(list_of(SIZE))
    down_block_types: tuple[str, ...] = spec(
        list_of(one_of("DownEncoderBlock2D", "AttnDownEncoderBlock2D"))
    )
    up_block_types: tuple[str, ...] = spec(
        list_of(one_of("UpDecoderBlock2D", "AttnUpDecoderBlock2D"))
    )
    layers_per_block: int = spec(COUNT)
    norm_num_groups: int = spec(SIZE, 32)
    norm_type: str = spec(one_of("spatial"))
    num_vq_embeddings: int = spec(SIZE, 256)
    vq_embed_dim: int | None = spec(optional(SIZE), None)

    def _check_together(self) -> None:
        levels = len(self.block_out_channels)
        for name in ("down_block_types", "up_block_types"):
            if len(getattr(self, name)) != levels:
                raise self._refuse(name, f"{levels} items, one for each of block_out_channels")
        # The decoder's norms have 32 groups whatever norm_num_groups says.
        for groups in (self.norm_num_groups, 32):
            if any(width % groups for width in self.block_out_channels):
                raise self._refuse(
                    "block_out_channels",
                    f"multiples of {groups}, the number of groups of the norms",
                )
        if self.vq_embed_dim not in (None, self.latent_channels):
            raise self._refuse(
                "vq_embed_dim",
                f"null or {self.latent_channels}, the latent_channels: the decoder's norms and its"
                " first convolution read the same latents",
            )
