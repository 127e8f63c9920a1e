"""Reads low-rank adapters (LoRA) for the UNet and the prior, and merges them.

An adapter is two small matrices for some layers, `down` [r, in] and `up` [out, r]. Merged with
weight w the layer's weight becomes W + w * (alpha / r) * up @ down, where alpha is r unless the
file says otherwise. `kandinsky_core.checkpoints.lora_names` lists the forms of names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.checkpoints.lora_names import LoraNames
from kandinsky_core.checkpoints.lora_settings import LARGEST, LoraSettings, settings_of
from kandinsky_core.checkpoints.lora_sources import LoraSource
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["Adapter", "merged_weights", "read_adapters", "read_lora", "require_fit"]

_SHOWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """The change of one weight, as two small matrices.

    Attributes:
        down: float32 [r, in], or [r, in, height, width] for a convolution.
        up: float32 [out, r], or [out, r, 1, 1] for a convolution.
        scale: alpha / r.
    """

    down: FloatArray
    up: FloatArray
    scale: float

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a weight of `shape` [out, in, ...] can be changed."""
        rank = len(self.down)
        return (
            self.up.shape[:2] == (shape[0], rank)
            and self.up.size == shape[0] * rank
            and self.down.shape[1:] == shape[1:]
        )

    def change(self, shape: tuple[int, ...]) -> FloatArray | None:
        """Return what to add to a weight of `shape` [out, in, ...]; None if it does not fit."""
        if not self.fits(shape):
            return None
        rank = len(self.down)
        product: FloatArray = self.up.reshape(-1, rank) @ self.down.reshape(rank, -1)
        return np.float32(self.scale) * product.reshape(shape)


def read_lora(path: str | Path) -> dict[str, Adapter]:
    """Read the adapters of a LoRA file.

    Args:
        path: A .safetensors or .bin file, or a folder that holds one under a usual name.

    Returns:
        Each adapter by the name of the weight that it changes, `....to_q.weight` for example.

    Raises:
        InvalidInputError: There is no such file.
        CheckpointError: See `read_adapters`.
    """
    return read_adapters(LoraSource.open(path))


def read_adapters(source: LoraSource, settings: Any = None) -> dict[str, Adapter]:
    """Read the adapters of a LoRA.

    Args:
        source: Its tensors.
        settings: Ranks and alphas as `adapter_config.json` has them, in place of the file's own.

    Returns:
        Each adapter by the name of the weight that it changes, `....to_q.weight` for example.

    Raises:
        CheckpointError: It is damaged, of a kind that is not supported, or holds anything but
            complete adapters of a known form.
    """
    names = LoraNames.sort(source.tensors.names())
    if names.refusal is not None:
        raise CheckpointError(f"{source.label} {names.refusal}")
    unknown = [*names.unknown, *(f"{name} (no tensor)" for name in source.others)]
    if unknown or not names.layers:
        some = ", ".join(unknown[:_SHOWN]) or "there is no tensor"
        raise CheckpointError(
            f"{source.label} is no LoRA of a UNet or prior that is known here: {len(unknown)} "
            f"tensors do not belong to one ({some})"
        )
    said = settings_of(source.file, source.header, settings)
    return {
        f"{layer}.weight": _adapter(source, layer, parts, said)
        for layer, parts in names.layers.items()
    }


def merged_weights(
    terms: Sequence[tuple[Mapping[str, Adapter], float]],
    read: Callable[[Iterable[str]], Mapping[str, Array]],
) -> dict[str, FloatArray]:
    """Return the weights of a network with adapters added, float32.

    Args:
        terms: The adapters of each LoRA by the names of weights (see `read_adapters`), and its
            factor. They are added in this order.
        read: Returns the weights without any adapter by their names, in PyTorch's layout. For
            weights that do not exist it raises KeyError with their names.

    Raises:
        KeyError: The network has no such layers.
        CheckpointError: The network's layers have other shapes, or a weight would be infinite.
    """
    present = read(dict.fromkeys(name for adapters, _ in terms for name in adapters))
    for adapters, _ in terms:
        require_fit(adapters, present)
    return {name: _merged(name, values, terms) for name, values in present.items()}


def require_fit(adapters: Mapping[str, Adapter], present: Mapping[str, Array]) -> None:
    """Refuse adapters whose matrices do not have the shapes of the weights that they change.

    Args:
        adapters: See `read_adapters`.
        present: These weights, in PyTorch's layout.

    Raises:
        CheckpointError: Some shapes differ.
    """
    misfits = [
        f"{name} {list(present[name].shape)}"
        for name, adapter in adapters.items()
        if not adapter.fits(present[name].shape)
    ]
    if misfits:
        raise CheckpointError(
            f"the LoRA does not fit: {len(misfits)} layers have other shapes "
            f"({', '.join(misfits[:_SHOWN])}); it was trained for another model"
        )


def _merged(
    name: str, present: Array, terms: Sequence[tuple[Mapping[str, Adapter], float]]
) -> FloatArray:
    values: FloatArray = np.asarray(present, np.float32)
    finite = bool(np.isfinite(values).all())
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is named below
        for adapters, factor in terms:
            change = adapters[name].change(values.shape) if name in adapters else None
            if change is not None:
                values = values + np.float32(factor) * change
    if finite and not np.isfinite(values).all():
        factors = ", ".join(f"{factor:g}" for _, factor in terms)
        raise CheckpointError(
            f"the LoRA gives infinity in {name} at the weight {factors}: it is damaged, or the "
            "weight is too large"
        )
    return values


def _adapter(
    source: LoraSource, layer: str, parts: Mapping[str, str], settings: LoraSettings | None
) -> Adapter:
    missing = [part for part in ("down", "up") if part not in parts]
    if missing:
        raise CheckpointError(f"{source.label}: layer {layer} has no {' and no '.join(missing)}")
    down, up = (_matrix(source, parts[part]) for part in ("down", "up"))
    rank = len(down)
    if up.shape[1] != rank:
        raise CheckpointError(
            f"{source.label}: layer {layer} has matrices of ranks {rank} and {up.shape[1]}, "
            "which do not belong together"
        )
    scale = 1.0
    if "alpha" in parts:
        scale = _alpha(source, parts["alpha"]) / rank
    elif settings is not None:
        if settings.rank_of(layer) != rank:
            raise CheckpointError(
                f"{source.label}: layer {layer} has rank {rank}, and the file's settings say "
                f"{settings.rank_of(layer)}: take the settings that belong to the file"
            )
        scale = settings.scale_of(layer)
    return Adapter(down, up, scale)


def _matrix(source: LoraSource, name: str) -> FloatArray:
    """Read one of the two matrices of a layer as float32."""
    shape, dtype = source.tensors.spec(name)
    if len(shape) < 2 or 0 in shape:
        raise CheckpointError(f"{source.label}: {name} is no matrix: its shape is {list(shape)}")
    if dtype in STORED and not STORED[dtype].floating:
        raise CheckpointError(f"{source.label}: {name} is {dtype}, and matrices are floating-point")
    with np.errstate(over="ignore"):  # what float32 cannot hold is named below
        values = np.asarray(source.tensors.read(name), np.float32)
    if not np.isfinite(values).all():
        raise CheckpointError(f"{source.label}: {name} holds NaN or infinity in float32")
    return values


def _alpha(source: LoraSource, name: str) -> float:
    shape, dtype = source.tensors.spec(name)
    one = math.prod(shape) == 1
    value = float(source.tensors.read(name).reshape(())) if one else math.nan
    if dtype == "BOOL" or not abs(value) <= LARGEST:
        raise CheckpointError(
            f"{source.label}: {name} is {dtype} of shape {list(shape)} and no finite number, as "
            "alpha is"
        )
    return value
