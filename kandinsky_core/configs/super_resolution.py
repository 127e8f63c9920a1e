"""Config of the UNet of KandiSuperRes, which makes the pixels of a larger picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import NetworkConfig, spec
from kandinsky_core.configs.diffusion import BOOKKEEPING
from kandinsky_core.configs.rules import SIZE, list_of, whole_number

__all__ = ["SuperResUNetConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperResUNetConfig(NetworkConfig):
    """The UNet's config. The names follow diffusers, which has no such network.

    Source: ai-forever/KandiSuperRes, `KandiSuperRes/model/unet_sr.py`. `in_channels` counts the
    pixels of the noisy picture and those of the small one, which stand behind them.

    Attributes:
        scale: The enlargement that the network was trained for.
        sample_size: Side in pixels of the largest picture that it is shown at once.
        window_stride: Distance of two such windows of a larger picture; 0 is 25/32 of their side,
            which is 800 as published.
    """

    CLASS_NAME: ClassVar[str] = "KandinskySuperResUNet"
    IGNORED: ClassVar[frozenset[str]] = BOOKKEEPING

    scale: int = spec(whole_number(2, 16), 4)
    sample_size: int = spec(SIZE, 1024)
    window_stride: int = spec(whole_number(0, 2**20), 0)
    in_channels: int = spec(SIZE, 6)
    out_channels: int = spec(SIZE, 3)
    init_channels: int = spec(SIZE, 128)
    block_out_channels: tuple[int, ...] = spec(list_of(SIZE), (128, 256, 512, 1024))
    layers_per_block: tuple[int, ...] = spec(list_of(whole_number(2, 1000)), (2, 4, 8, 8))
    time_embedding_dim: int = spec(SIZE, 512)
    groups: int = spec(SIZE, 32)

    def _check_together(self) -> None:
        if self.sample_size % self.size_multiple:
            raise self._refuse("sample_size", f"a multiple of {self.size_multiple}")
        if self.window_stride > self.sample_size:
            raise self._refuse("window_stride", f"at most sample_size={self.sample_size}")
        if len(self.layers_per_block) != len(self.block_out_channels):
            raise self._refuse("layers_per_block", "one number for each of block_out_channels")
        if self.in_channels <= self.out_channels:
            raise self._refuse("in_channels", f"more than out_channels={self.out_channels}")
        if self.init_channels % 2:
            raise self._refuse("init_channels", "an even number, as half of them are sines")
        if any(width % self.groups for width in (self.init_channels, *self.block_out_channels)):
            raise self._refuse("groups", "a divisor of init_channels and of block_out_channels")

    @property
    def size_multiple(self) -> int:
        """Sides of a picture must be multiples of this, so that the skips of all levels fit."""
        return int(2 ** (len(self.block_out_channels) - 1))
