"""Puts the weights of an IP-Adapter into a UNet of Kandinsky 3 that is loaded, and takes them out.

The network is made anew: its programs differ with and without image tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.network_pickling import NetworkState, load_again

__all__ = ["with_ip_adapter", "without_ip_adapter"]

_FIELDS = ("num_image_tokens", "image_embed_dim")


def with_ip_adapter(unet: Any, source: Component) -> Any:
    """Return a UNet with the IP-Adapter of another one; all other weights stay.

    Args:
        unet: The loaded UNet; an IP-Adapter that it has is replaced.
        source: A UNet of Kandinsky 3 with an IP-Adapter, which is read in part.

    Raises:
        CheckpointError: The source has no IP-Adapter, or one for a UNet of other sizes.
    """
    named = source.class_name == Kandinsky3UNetConfig.CLASS_NAME
    theirs = Kandinsky3UNetConfig.from_dict(source.config) if named else None
    if theirs is None or not theirs.num_image_tokens:
        raise CheckpointError(
            f"{source.folder} holds no IP-Adapter of Kandinsky 3: give "
            "ai-forever/kandinsky3_ip_adapter, or a folder in the form of that repository"
        )
    sizes = {name: getattr(theirs, name) for name in _FIELDS}
    if replace(unet.config, **sizes) != theirs:
        raise CheckpointError(
            f"{source.folder} holds an IP-Adapter for a UNet of other sizes ({theirs}): this UNet "
            f"is {unet.config}"
        )
    tensors = source.tensors()
    added = {name: tensors.read(name) for name in tensors.names() if _is_ours(name)}
    state = _plain(NetworkState.of(unet))
    return _made(state, {**state.arrays, **added}, {**state.config, **sizes})


def without_ip_adapter(unet: Any) -> Any:
    """Return a UNet without its IP-Adapter."""
    state = _plain(NetworkState.of(unet))
    return _made(state, state.arrays, state.config)


def _plain(state: NetworkState) -> NetworkState:
    return replace(
        state,
        arrays={name: array for name, array in state.arrays.items() if not _is_ours(name)},
        config={name: value for name, value in state.config.items() if name not in _FIELDS},
    )


def _made(state: NetworkState, arrays: Mapping[str, Array], config: Mapping[str, Any]) -> Any:
    kept = {**state.kept, "_config_file": config}  # it is saved with the weights
    return load_again(replace(state, arrays=arrays, config=config, kept=kept))


def _is_ours(name: str) -> bool:
    return ".ip_adapter." in name or ".image_projection." in name
