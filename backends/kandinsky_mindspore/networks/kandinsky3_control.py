"""The ControlNet of Kandinsky 3 as MindSpore cells: the hint's convolutions, and the branch.

mindone has neither. The branch is made of mindone's blocks of the UNet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mindspore import mint, nn

from kandinsky_core.configs import Kandinsky3ControlNetConfig, Kandinsky3UNetConfig
from kandinsky_core.configs.kandinsky3_controlnet import HINT_WIDTHS

__all__ = ["HintStem", "branch_form", "build_branch", "prepare_branch"]

# Cells of the UNet that the branch has not.
_OF_UNET_ALONE = ("encoder_hid_proj", "up_blocks", "conv_norm_out", "conv_act_out", "conv_out")


class HintStem(nn.Cell):  # type: ignore[misc]
    """Turns a hint into what is added behind the first convolution: [B,c,8h,8w] -> [B,C,h,w].

    See `kandinsky_jax.networks.kandinsky3_hint`.
    """

    def __init__(self, config: Kandinsky3UNetConfig) -> None:
        super().__init__()
        first, *others = HINT_WIDTHS
        self.conv_in = _convolution(config.hint_channels, first)
        blocks, given = [], first
        for width in others:
            blocks += [_convolution(given, given), _convolution(given, width, stride=2)]
            given = width
        self.blocks = nn.CellList(blocks)
        self.conv_out = _convolution(given, config.init_channels)

    def construct(self, hint: Any) -> Any:
        x = mint.nn.functional.silu(self.conv_in(hint))
        for block in self.blocks:
            x = mint.nn.functional.silu(block(x))
        return self.conv_out(x)


def _convolution(n_in: int, n_out: int, stride: int = 1) -> Any:
    return mint.nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1)


def build_branch(unet: Any, config: Kandinsky3ControlNetConfig) -> Any:
    """Turn a UNet of mindone into the branch that goes with it, whose levels it shares."""
    for name in _OF_UNET_ALONE:
        delattr(unet, name)
    unet.down_blocks = nn.CellList(list(unet.down_blocks)[:-1])
    unet.controlnet_cond_embedding = HintStem(config)
    unet.controlnet_down_blocks = nn.CellList(
        [mint.nn.Conv2d(width, width, kernel_size=1) for width in config.branch_channels]
    )
    return unet


def prepare_branch(cell: Any, text: Mapping[str, Any], hint: Any) -> dict[str, Any]:
    """Compute all that depends on the conditioning alone.

    Args:
        cell: The branch.
        text: `context` and `bias` as `prepare_text` makes them, without image tokens.
        hint: [B,c,8h,8w].

    Returns:
        The arguments of the function that `branch_form` returns, by name.
    """
    context, bias = text["context"], text["bias"]
    query = context.mean(axis=1, keep_dims=True)  # [B,1,D]
    pooled = cell.add_time_condition.attention(query, context, bias)  # [B,1,T]
    return {
        "context": context,
        "bias": bias,
        "embedding": pooled.squeeze(1),
        "hint": cell.controlnet_cond_embedding(hint),
    }


def branch_form(cell: Any) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return the names of what `prepare_branch` gives, and the branch as a function of them.

    The function returns what is added to the UNet's skips, the highest level first.
    """

    def run(
        sample: Any, timestep: Any, context: Any, bias: Any, embedding: Any, hint: Any
    ) -> tuple[Any, ...]:
        time = cell.time_embedding(cell.time_proj(timestep).astype(sample.dtype)) + embedding
        x = cell.conv_in(sample) + hint
        residuals = []
        for level, block in enumerate(cell.down_blocks):
            x = cell.controlnet_down_blocks[level](block(x, time, context, bias))
            residuals.append(x)
        return tuple(residuals)

    return ("context", "bias", "embedding", "hint"), run
