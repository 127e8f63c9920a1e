"""The convolutions by which ControlNets of Kandinsky 3 read a hint."""

from __future__ import annotations

from flax import nnx
from jax import Array

from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_core.configs.kandinsky3_controlnet import HINT_WIDTHS
from kandinsky_jax.layers.layers import Conv, Layers, silu

__all__ = ["HintStem"]


class HintStem(nnx.Module):
    """Turns a hint into what is added behind the first convolution: [B,8h,8w,c] -> [B,h,w,C].

    Its layers are those of diffusers' ControlNetConditioningEmbedding. Reference: Zhang et al. 2023
    (ControlNet), section 3.2.
    """

    def __init__(self, config: Kandinsky3UNetConfig, *, layers: Layers) -> None:
        first, *others = HINT_WIDTHS
        self.conv_in = Conv(config.hint_channels, first, kernel=3, padding=1, layers=layers)
        blocks, given = [], first
        for width in others:  # one convolution that keeps the size, one that halves it
            blocks.append(Conv(given, given, kernel=3, padding=1, layers=layers))
            blocks.append(Conv(given, width, kernel=3, padding=1, stride=2, layers=layers))
            given = width
        self.blocks = nnx.List(blocks)
        self.conv_out = Conv(given, config.init_channels, kernel=3, padding=1, layers=layers)

    def __call__(self, hint: Array) -> Array:
        x = silu(self.conv_in(hint))
        for block in self.blocks:
            x = silu(block(x))
        return self.conv_out(x)
