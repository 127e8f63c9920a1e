"""Config of the UNet of Kandinsky 3.0 and 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.diffusion import BOOKKEEPING
from kandinsky_core.configs.rules import SIZE, list_of, whole_number

__all__ = ["Kandinsky3UNetConfig"]

_MAX_LEVELS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Kandinsky3UNetConfig(NetworkConfig):
    """The UNet's config; field names, defaults and meanings are those of diffusers' Kandinsky3UNet.

    diffusers lacks the field `out_channels`: there the output has as many channels as the input.
    The same holds here where a file omits the field. The UNet for inpainting reads 9 channels and
    gives 4. diffusers lacks the fields of hints and of the IP-Adapter as well.

    Attributes:
        hint_channels: Channels of the hint that the UNet itself reads, 3 in the ControlNet of HED
            edges; 0 in all others.
        num_image_tokens: Tokens that the UNet makes of an image embedding; 0 without IP-Adapter.
        image_embed_dim: Width of that embedding; without IP-Adapter it means nothing.
    """

    CLASS_NAME: ClassVar[str] = "Kandinsky3UNet"
    IGNORED: ClassVar[frozenset[str]] = BOOKKEEPING

    in_channels: int = spec(SIZE, 4)
    out_channels: int = spec(SIZE, 4)
    time_embedding_dim: int = spec(SIZE, 1536)
    groups: int = spec(SIZE, 32)
    attention_head_dim: int = spec(SIZE, 64)
    layers_per_block: int = spec(whole_number(2, 1000), 3)
    block_out_channels: tuple[int, ...] = spec(list_of(SIZE), (384, 768, 1536, 3072))
    cross_attention_dim: int = spec(SIZE, 4096)
    encoder_hid_dim: int = spec(SIZE, 4096)
    hint_channels: int = spec(whole_number(0, 1000), 0)
    num_image_tokens: int = spec(whole_number(0, 1024), 0)
    image_embed_dim: int = spec(SIZE, 768)

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Kandinsky3UNetConfig:
        """See `NetworkConfig.from_dict`."""
        if isinstance(raw, Mapping) and "out_channels" not in raw and "in_channels" in raw:
            raw = {**raw, "out_channels": raw["in_channels"]}
        return super(Kandinsky3UNetConfig, cls).from_dict(raw)

    @property
    def init_channels(self) -> int:
        """Width of the first and the last convolution, and of the timestep's sinusoid."""
        return self.block_out_channels[0] // 2

    @property
    def latent_channels(self) -> int:
        """Channels of a sample; the output has exactly these."""
        return self.out_channels

    @property
    def image_latents(self) -> int:
        """Channels that inpainting appends to the sample: the mask and masked latents; else 0."""
        return self.in_channels - self.out_channels

    @property
    def family(self) -> str:
        """The models that the network belongs to: Kandinsky `3`."""
        return "3"

    @property
    def kind(self) -> str:
        """The task that the network was trained for: `decoder`, `inpaint` or `controlnet`."""
        if self.hint_channels:
            return "controlnet"
        return "inpaint" if self.image_latents else "decoder"

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be multiples of this: each level but the last halves."""
        return int(2 ** (len(self.block_out_channels) - 1))

    def _check_together(self) -> None:
        widths = self.block_out_channels
        if len(widths) > _MAX_LEVELS:
            raise self._refuse("block_out_channels", f"at most {_MAX_LEVELS} items")
        # Inside a residual block the width is half the width of its wider end.
        if any(width % (2 * self.groups) for width in widths):
            raise self._refuse(
                "block_out_channels",
                f"multiples of {2 * self.groups}, twice the number of groups of the norms (groups)",
            )
        if self.init_channels % 2 or self.init_channels < 4:
            raise self._refuse(
                "block_out_channels",
                "a first width of at least 8 that 4 divides: half of it holds the sines and the"
                " cosines of the timestep",
            )
        attended = {*widths, self.time_embedding_dim}
        if len(widths) < _MAX_LEVELS:  # then the last level of the way up has attention too
            attended.add(self.init_channels)
        if any(width % self.attention_head_dim for width in attended):
            raise self._refuse(
                "attention_head_dim",
                f"a divisor of the widths that have attention: {sorted(attended)}",
            )
        if self.out_channels > self.in_channels:
            raise self._refuse("out_channels", f"at most in_channels, which is {self.in_channels}")
