"""The UNet of KandiSuperRes in PyTorch, to train the embedded upscaler with.

Its parameters have the names of `kandinsky_core.configs.SuperResUNetConfig`'s network, so that its
weights are saved as they are. No published library has this class.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kandinsky_core.configs import SuperResUNetConfig

__all__ = ["UPSCALER", "SuperResUNet"]

UPSCALER = SuperResUNetConfig(
    scale=4,
    sample_size=64,
    window_stride=32,  # more overlap than as published: the windows are small, and so are the costs
    init_channels=16,
    block_out_channels=(24, 48, 64, 80),
    layers_per_block=(2, 2, 2, 2),
    time_embedding_dim=64,
    groups=8,
)
"""The config of the embedded upscaler."""


class _TimeEmbedding(nn.Module):
    def __init__(self, config: SuperResUNetConfig) -> None:
        super().__init__()
        self.width = config.init_channels
        self.linear_1 = nn.Linear(config.init_channels, config.time_embedding_dim)
        self.linear_2 = nn.Linear(config.time_embedding_dim, config.time_embedding_dim)

    def forward(self, timestep: Tensor) -> Tensor:
        half = self.width // 2
        frequency = torch.exp(-math.log(10000.0) * torch.arange(half) / (half - 1))
        angle = timestep.float()[:, None] * frequency
        sinusoid = torch.cat([angle.sin(), angle.cos()], dim=1)
        return cast(Tensor, F.silu(self.linear_2(F.silu(self.linear_1(sinusoid)))))


class _Resnet(nn.Module):
    def __init__(self, n_in: int, n_out: int, config: SuperResUNetConfig, resize: str = "") -> None:
        super().__init__()
        layer = {"halve": nn.Conv2d, "double": nn.ConvTranspose2d}.get(resize)

        def resized() -> nn.Module | None:
            return layer and layer(n_in, n_in, kernel_size=4, stride=2, padding=1)

        self.norm1 = nn.GroupNorm(config.groups, n_in)
        self.sampler = resized()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.time_embedding_dim, 2 * n_out)
        self.norm2 = nn.GroupNorm(config.groups, n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.shortcut_sampler = resized()
        self.conv_shortcut = nn.Conv2d(n_in, n_out, 1) if layer or n_in != n_out else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.norm1(x)
        if self.sampler is not None and self.shortcut_sampler is not None:
            y, x = self.sampler(y), self.shortcut_sampler(x)
        y = self.conv1(y)
        scale, shift = self.time_emb_proj(time)[:, :, None, None].chunk(2, dim=1)
        y = self.conv2(F.silu(self.norm2(y) * (scale + 1) + shift))
        return cast(Tensor, y + (x if self.conv_shortcut is None else self.conv_shortcut(x)))


class _Level(nn.Module):
    def __init__(self, resnets: list[_Resnet]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x, time)
        return x


class SuperResUNet(nn.Module):
    """Predicts clean pixels [B, 3, H, W] from noisy ones and the enlarged small picture."""

    def __init__(self, config: SuperResUNetConfig) -> None:
        super().__init__()
        first, widths = config.init_channels, config.block_out_channels
        self.time_embedding = _TimeEmbedding(config)
        self.conv_in = nn.Conv2d(config.in_channels, first, 3, padding=1)
        down = []
        for level, (n_in, n_out) in enumerate(zip((first, *widths[:-1]), widths, strict=True)):
            resize = "halve" if level < len(widths) - 1 else ""
            others = range(config.layers_per_block[level] - 1)
            blocks = [_Resnet(n_in, n_out, config, resize)]
            down.append(_Level(blocks + [_Resnet(n_out, n_out, config) for _ in others]))
        up = []
        narrowing = zip(widths[::-1], (*widths[-2::-1], first), strict=True)
        for level, (width, n_out) in enumerate(narrowing):
            between = range(config.layers_per_block[::-1][level] - 2)
            blocks = [_Resnet(2 * width if level else width, width, config)]
            blocks += [_Resnet(width, width, config) for _ in between]
            up.append(_Level([*blocks, _Resnet(width, n_out, config, "double" if level else "")]))
        self.down_blocks, self.up_blocks = nn.ModuleList(down), nn.ModuleList(up)
        self.conv_norm_out = nn.GroupNorm(config.groups, first)
        self.conv_out = nn.Conv2d(first, config.out_channels, 3, padding=1)

    def forward(self, sample: Tensor, timestep: Tensor, enlarged: Tensor) -> Tensor:
        """Predict the clean pixels.

        Args:
            sample: [B, 3, H, W]; H and W are multiples of 8.
            timestep: [B].
            enlarged: [B, 3, H, W], the small picture at the size of the sample.
        """
        time = self.time_embedding(timestep)
        x = self.conv_in(torch.cat([sample, enlarged], dim=1))
        skips = []
        for block in self.down_blocks:
            x = block(x, time)
            skips.append(x)
        skips.pop()
        for level, block in enumerate(self.up_blocks):
            x = block(torch.cat([x, skips.pop()], dim=1) if level else x, time)
        return cast(Tensor, self.conv_out(F.silu(self.conv_norm_out(x))))
