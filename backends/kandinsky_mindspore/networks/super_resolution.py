"""The UNet of KandiSuperRes as MindSpore cells; mindone has no such network.

`kandinsky_jax.networks.super_resolution` is the same network, and explains it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mindspore import Tensor, mint, nn

from kandinsky_core.configs import SuperResUNetConfig

__all__ = ["KandinskySuperResUNet", "super_resolution_form"]

_NORM_EPSILON = 1e-5


class TimeEmbedding(nn.Cell):  # type: ignore[misc]
    """Sines and cosines of the timestep through two linear layers: [B] -> [B,width]."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        half = n_in // 2
        frequencies = np.exp(-np.log(10000.0) * np.arange(half) / (half - 1))
        self.frequencies = Tensor(frequencies.astype(np.float32))
        self.linear_1 = mint.nn.Linear(n_in, width)
        self.linear_2 = mint.nn.Linear(width, width)

    def construct(self, timestep: Any, like: Any) -> Any:
        angle = timestep.expand_dims(1) * self.frequencies
        sinusoid = mint.cat([mint.sin(angle), mint.cos(angle)], dim=1).astype(like.dtype)
        return self.linear_2(mint.nn.functional.silu(self.linear_1(sinusoid)))


class ResnetBlock(nn.Cell):  # type: ignore[misc]
    """Two convolutions with a shortcut: [B,n_in,H,W], activated time [B,T] -> [B,n_out,H',W']."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: SuperResUNetConfig,
        resize: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()

        def resized() -> Any:
            return resize and resize(n_in, n_in, kernel_size=4, stride=2, padding=1)

        self.norm1 = mint.nn.GroupNorm(config.groups, n_in, eps=_NORM_EPSILON)
        self.sampler = resized()
        self.conv1 = mint.nn.Conv2d(n_in, n_out, kernel_size=3, padding=1)
        self.time_emb_proj = mint.nn.Linear(config.time_embedding_dim, 2 * n_out)
        self.norm2 = mint.nn.GroupNorm(config.groups, n_out, eps=_NORM_EPSILON)
        self.conv2 = mint.nn.Conv2d(n_out, n_out, kernel_size=3, padding=1)
        self.shortcut_sampler = resized()
        changes = n_in != n_out or resize is not None
        self.conv_shortcut = mint.nn.Conv2d(n_in, n_out, kernel_size=1) if changes else None

    def construct(self, x: Any, time: Any) -> Any:
        y = self.norm1(x)
        if self.sampler is not None:
            y, x = self.sampler(y), self.shortcut_sampler(x)
        y = self.conv1(y)
        scale, shift = mint.chunk(self.time_emb_proj(time).expand_dims(2).expand_dims(3), 2, dim=1)
        y = self.conv2(mint.nn.functional.silu(self.norm2(y) * (scale + 1) + shift))
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Level(nn.Cell):  # type: ignore[misc]
    """The residual blocks of one resolution."""

    def __init__(self, resnets: list[ResnetBlock]) -> None:
        super().__init__()
        self.resnets = nn.CellList(resnets)

    def construct(self, x: Any, time: Any) -> Any:
        for resnet in self.resnets:
            x = resnet(x, time)
        return x


class KandinskySuperResUNet(nn.Cell):  # type: ignore[misc]
    """The UNet in pixel space: noisy pixels behind each other with the enlarged small picture.

    Args:
        config: The network's config.
    """

    def __init__(self, config: SuperResUNetConfig) -> None:
        super().__init__()
        first = config.init_channels
        self.time_embedding = TimeEmbedding(first, config.time_embedding_dim)
        self.conv_in = mint.nn.Conv2d(config.in_channels, first, kernel_size=3, padding=1)
        self.down_blocks = nn.CellList(_down_blocks(config))
        self.up_blocks = nn.CellList(_up_blocks(config))
        self.conv_norm_out = mint.nn.GroupNorm(config.groups, first, eps=_NORM_EPSILON)
        self.conv_out = mint.nn.Conv2d(first, config.out_channels, kernel_size=3, padding=1)

    def construct(self, sample: Any, timestep: Any, image_latents: Any) -> Any:
        time = mint.nn.functional.silu(self.time_embedding(timestep, sample))
        x = self.conv_in(mint.cat([sample, image_latents], dim=1))
        skips = []
        for block in self.down_blocks:
            x = block(x, time)
            skips.append(x)
        skips = skips[:-1]  # the lowest level hands its output straight on
        for level, block in enumerate(self.up_blocks):
            x = block(mint.cat([x, skips[-level]], dim=1) if level else x, time)
        return self.conv_out(mint.nn.functional.silu(self.conv_norm_out(x)))


def super_resolution_form(cell: Any) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return the names of the conditioning that the UNet takes, and the UNet as a function."""

    def run(sample: Any, timestep: Any, image_latents: Any) -> Any:
        return cell(sample, timestep, image_latents)

    return ("image_latents",), run


def _down_blocks(config: SuperResUNetConfig) -> list[Level]:
    widths = config.block_out_channels
    levels = []
    for level, (n_in, n_out) in enumerate(
        zip((config.init_channels, *widths[:-1]), widths, strict=True)
    ):
        resize = mint.nn.Conv2d if level < len(widths) - 1 else None
        others = range(config.layers_per_block[level] - 1)
        first = ResnetBlock(n_in, n_out, config, resize)
        levels.append(Level([first, *(ResnetBlock(n_out, n_out, config) for _ in others)]))
    return levels


def _up_blocks(config: SuperResUNetConfig) -> list[Level]:
    widths = config.block_out_channels[::-1]
    levels = []
    for level, (width, n_out) in enumerate(
        zip(widths, (*widths[1:], config.init_channels), strict=True)
    ):
        resize = mint.nn.ConvTranspose2d if level else None
        first = ResnetBlock(2 * width if level else width, width, config)
        between = range(config.layers_per_block[::-1][level] - 2)
        last = ResnetBlock(width, n_out, config, resize)
        levels.append(Level([first, *(ResnetBlock(width, width, config) for _ in between), last]))
    return levels
