"""Makes mindone's UNet a function of tensors alone, for each kind of conditioning.

MindSpore compiles anew for every tensor in a dict that is passed in, and it cannot compile a
lambda. So each kind of conditioning has a plain function, which makes its dict itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindspore import mint

from kandinsky_core.configs import UNet2DConditionConfig

__all__ = ["unet_form"]


def unet_form(
    cell: Any, config: UNet2DConditionConfig
) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return the names of the conditioning that a UNet takes, in order, and the function."""
    if config.takes_hint:
        return ("image_embeds", "hint"), _controlnet(cell)
    if config.takes_text:
        names = ("image_embeds", "text_embeds", "text_encoder_hidden_states")
        if config.image_latents:
            return (*names, "image_latents"), _inpainting_with_text(cell)
        return names, _with_text(cell)
    if config.image_latents:
        return ("image_embeds", "image_latents"), _inpainting(cell)
    return ("image_embeds",), _plain(cell)


def _plain(cell: Any) -> Callable[..., Any]:
    def run(sample: Any, timestep: Any, image_embeds: Any) -> Any:
        added = {"image_embeds": image_embeds}
        return cell(sample, timestep, None, added_cond_kwargs=added)[0]

    return run


def _inpainting(cell: Any) -> Callable[..., Any]:
    def run(sample: Any, timestep: Any, image_embeds: Any, image_latents: Any) -> Any:
        added = {"image_embeds": image_embeds}
        rows = mint.cat([sample, image_latents], dim=1)
        return cell(rows, timestep, None, added_cond_kwargs=added)[0]

    return run


def _controlnet(cell: Any) -> Callable[..., Any]:
    def run(sample: Any, timestep: Any, image_embeds: Any, hint: Any) -> Any:
        added = {"image_embeds": image_embeds, "hint": hint}
        return cell(sample, timestep, None, added_cond_kwargs=added)[0]

    return run


def _with_text(cell: Any) -> Callable[..., Any]:
    def run(sample: Any, timestep: Any, image_embeds: Any, text_embeds: Any, states: Any) -> Any:
        added = {"image_embeds": image_embeds, "text_embeds": text_embeds}
        return cell(sample, timestep, states, added_cond_kwargs=added)[0]

    return run


def _inpainting_with_text(cell: Any) -> Callable[..., Any]:
    def run(
        sample: Any,
        timestep: Any,
        image_embeds: Any,
        text_embeds: Any,
        states: Any,
        image_latents: Any,
    ) -> Any:
        added = {"image_embeds": image_embeds, "text_embeds": text_embeds}
        rows = mint.cat([sample, image_latents], dim=1)
        return cell(rows, timestep, states, added_cond_kwargs=added)[0]

    return run
