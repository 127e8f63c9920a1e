"""Configs of what only Kandinsky 2.0 has: its UNet, and the autoencoder of Stable Diffusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.diffusion import BOOKKEEPING, UNet2DConditionConfig
from kandinsky_core.configs.rules import COUNT, SIZE, list_of, number, one_of

__all__ = ["AutoencoderKLConfig", "Kandinsky20UNetConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kandinsky20UNetConfig(UNet2DConditionConfig):
    """The UNet of 2.0: that of 2.1 with other conditioning, which is two encodings of the text.

    Source: ai-forever/Kandinsky-2, `kandinsky2/model/text2im_model2_1.py` and the file of 2.0
    beside it; diffusers has no such network.

    Attributes:
        text_embed_dim: Width of the first encoder's text embedding.
        encoder_hid_dim: Width of the first encoder's states.
        encoder_hid_dim_2: Width of the second encoder's states, which are pooled by eight heads.
    """

    CLASS_NAME: ClassVar[str] = "Kandinsky20UNet"
    TOKENS_OF_EMBEDDING: ClassVar[Mapping[str, str]] = {"two_texts": "two_texts_proj"}
    FIXED: ClassVar[Mapping[str, object]] = {
        **UNet2DConditionConfig.FIXED,
        "addition_embed_type_num_heads": 8,
    }

    addition_embed_type: str = spec(one_of("two_texts"), "two_texts")
    encoder_hid_dim_type: str = spec(one_of("two_texts_proj"), "two_texts_proj")
    text_embed_dim: int = spec(SIZE)
    encoder_hid_dim_2: int = spec(SIZE)

    @property
    def takes_text(self) -> bool:
        """Whether the network reads texts."""
        return True

    @property
    def family(self) -> str:
        """The model that the network belongs to."""
        return "2.0"

    @property
    def conditioning_names(self) -> tuple[str, ...]:
        """The conditioning that the network reads, besides `image_latents`."""
        return "text_embeds", "text_encoder_hidden_states", "text_encoder_hidden_states_2"

    @property
    def pooling_heads(self) -> int:
        """Heads of the attention that pools the second encoder's states."""
        return int(self["addition_embed_type_num_heads"])

    def _check_together(self) -> None:
        super(Kandinsky20UNetConfig, self)._check_together()
        if self.encoder_hid_dim_2 % self.pooling_heads:
            raise self._refuse(
                "encoder_hid_dim_2", f"a multiple of {self.pooling_heads}, the heads"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderKLConfig(NetworkConfig):
    """The autoencoder between pixels and latents, whose encoder gives a mean and a variance.

    Field names, defaults and meanings are those of diffusers' class of this name. `scaling_factor`
    has no default here: that of Kandinsky 2.0 is 0.0512, and diffusers' is 0.18215.
    """

    CLASS_NAME: ClassVar[str] = "AutoencoderKL"
    FIXED: ClassVar[Mapping[str, object]] = {
        "act_fn": "silu",
        "latents_mean": None,
        "latents_std": None,
        "mid_block_add_attention": True,
        "shift_factor": None,
        "use_post_quant_conv": True,
        "use_quant_conv": True,
    }
    IGNORED: ClassVar[frozenset[str]] = BOOKKEEPING | {"force_upcast", "sample_size"}

    in_channels: int = spec(SIZE, 3)
    out_channels: int = spec(SIZE, 3)
    latent_channels: int = spec(SIZE, 4)
    block_out_channels: tuple[int, ...] = spec(list_of(SIZE))
    down_block_types: tuple[str, ...] = spec(list_of(one_of("DownEncoderBlock2D")))
    up_block_types: tuple[str, ...] = spec(list_of(one_of("UpDecoderBlock2D")))
    layers_per_block: int = spec(COUNT)
    norm_num_groups: int = spec(SIZE, 32)
    scaling_factor: float = spec(
        number("a number above 0 and up to 1000", lambda value: 0 < value <= 1000)
    )

    def _check_together(self) -> None:
        levels = len(self.block_out_channels)
        for name in ("down_block_types", "up_block_types"):
            if len(getattr(self, name)) != levels:
                raise self._refuse(name, f"{levels} items, one for each of block_out_channels")
        if any(width % self.norm_num_groups for width in self.block_out_channels):
            raise self._refuse(
                "block_out_channels",
                f"multiples of {self.norm_num_groups}, the number of groups of the norms",
            )
