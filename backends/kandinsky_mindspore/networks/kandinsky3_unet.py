"""Builds mindone's UNet of Kandinsky 3, and mends it.

mindone's class has these faults, which this module repairs:
- It has as many channels out as in; the UNet for inpainting has 4 out and 9 in.
- Its norms that only the time scales have weights, which no checkpoint holds.
- It projects the text and pools it in every step.
- Its attention fails wherever the fused kernel is not used (`attention` repairs this one).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import mindspore as ms
from mindspore import mint, nn, ops

from kandinsky_core.configs import Kandinsky3ControlNetConfig, Kandinsky3UNetConfig
from kandinsky_mindspore.networks.kandinsky3_control import HintStem, build_branch
from kandinsky_mindspore.networks.kandinsky3_image_prompt import add_image_branches, with_image

__all__ = ["build_kandinsky3_unet", "kandinsky3_form", "prepare_text"]

# Added to the scores of tokens that are left out. In half precision it is far from the largest
# number, because scores of either sign are added to it. In each dtype it drowns them, so that
# padding alone makes equal weights.
_LOWEST = {"bfloat16": -3e4, "float16": -3e4, "float32": -3e38}


class PlainGroupNorm(nn.Cell):  # type: ignore[misc]
    """Group norm without weights: [B,C,h,w] -> [B,C,h,w]."""

    def __init__(self, groups: int, epsilon: float) -> None:
        super().__init__()
        self.groups = groups
        self.epsilon = epsilon

    def construct(self, x: Any) -> Any:
        return ops.group_norm(x, self.groups, None, None, self.epsilon)


def build_kandinsky3_unet(network_class: Any, config: Kandinsky3UNetConfig) -> Any:
    """Build mindone's class for a config, and mend it."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    channels, hint = fields.pop("out_channels"), fields.pop("hint_channels")
    tokens, embedding = fields.pop("num_image_tokens"), fields.pop("image_embed_dim")
    network = network_class(**fields)
    if hint and not isinstance(config, Kandinsky3ControlNetConfig):
        network.controlnet_cond_embedding = HintStem(config)
    if tokens:
        add_image_branches(network, tokens, embedding, config.cross_attention_dim)
    if channels != config.in_channels:
        network.conv_out = mint.nn.Conv2d(config.init_channels, channels, kernel_size=3, padding=1)
    for _, cell in network.cells_and_names():
        norm = getattr(cell, "norm", None)
        if isinstance(norm, mint.nn.GroupNorm) and not norm.affine:
            cell.norm = PlainGroupNorm(norm.num_groups, norm.eps)
    if isinstance(config, Kandinsky3ControlNetConfig):
        return build_branch(network, config)
    return network


def prepare_text(cell: Any, conditioning: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Compute all that depends on the text alone, once for all steps.

    `kandinsky_core.seam.networks.Denoiser.begin` describes the conditioning.

    Args:
        cell: The UNet.
        conditioning: Tensors by name.
        dtype: The dtype of the UNet.

    Returns:
        `context` [B,L,D], the `bias` [B,1,L] of attentions to it, the `embedding` [B,T] that is
        added to the time embedding, and `image_latents` if they were given. A UNet with an
        IP-Adapter has image tokens behind the text; see `with_image`.
    """
    context = cell.encoder_hid_proj(conditioning["text_encoder_hidden_states"])
    if "projected_mask" in conditioning:
        context = context * conditioning["projected_mask"].astype(context.dtype).unsqueeze(-1)
    if "null_embedding" in conditioning:
        first = context[:, :1] + conditioning["null_embedding"].unsqueeze(1)
        context = mint.cat([first, context[:, 1:]], dim=1)
    seen = conditioning["attention_mask"].astype(ms.bool_)
    bias = mint.where(seen, 0.0, _LOWEST[dtype]).astype(context.dtype).unsqueeze(1)  # [B,1,L]
    query = context.mean(axis=1, keep_dims=True)  # [B,1,D]
    pooled = cell.add_time_condition.attention(query, context, bias)  # [B,1,T]
    context, bias = with_image(cell, context, bias, conditioning)
    prepared = {"context": context, "bias": bias, "embedding": pooled.squeeze(1)}
    if "image_latents" in conditioning:
        prepared["image_latents"] = conditioning["image_latents"]
    if "hint" in conditioning:
        prepared["hint"] = cell.controlnet_cond_embedding(conditioning["hint"])
    return prepared


def kandinsky3_form(
    cell: Any, config: Kandinsky3UNetConfig, residuals: int = 0
) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return the names of `prepare_text`'s results, and the UNet as a function of them in order.

    Behind them the function takes so many `residuals`, which a ControlNet adds to the skips.
    """
    names = ("context", "bias", "embedding")
    run = _run(cell)
    if config.image_latents:
        return (*names, "image_latents"), _inpainting(run)
    if config.hint_channels:
        return (*names, "hint"), run
    return names, _controlled(run) if residuals else run


def _run(cell: Any) -> Callable[..., Any]:
    def run(
        sample: Any,
        timestep: Any,
        context: Any,
        bias: Any,
        embedding: Any,
        hint: Any = None,
        residuals: tuple[Any, ...] = (),
    ) -> Any:
        time = cell.time_embedding(cell.time_proj(timestep).astype(sample.dtype)) + embedding
        x = cell.conv_in(sample)
        if hint is not None:
            x = x + hint
        skips = []
        for block in cell.down_blocks:
            x = block(x, time, context, bias)
            skips.append(x)
        skips = skips[:-1]  # the lowest level hands its output straight on
        for level, block in enumerate(cell.up_blocks):
            if level:
                skip = skips[-level] + residuals[-level] if residuals else skips[-level]
                x = mint.cat([x, skip], dim=1)
            x = block(x, time, context, bias)
        return cell.conv_out(cell.conv_act_out(cell.conv_norm_out(x)))

    return run


def _controlled(plain: Callable[..., Any]) -> Callable[..., Any]:
    def run(
        sample: Any, timestep: Any, context: Any, bias: Any, embedding: Any, *residuals: Any
    ) -> Any:
        return plain(sample, timestep, context, bias, embedding, None, residuals)

    return run


def _inpainting(plain: Callable[..., Any]) -> Callable[..., Any]:
    def run(
        sample: Any,
        timestep: Any,
        context: Any,
        bias: Any,
        embedding: Any,
        image_latents: Any,
        *residuals: Any,
    ) -> Any:
        rows = mint.cat([sample, image_latents], dim=1)
        return plain(rows, timestep, context, bias, embedding, None, residuals)

    return run
