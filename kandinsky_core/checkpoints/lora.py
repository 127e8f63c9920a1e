"""Reads files of low-rank adapters (LoRA) for the UNet and the prior, and merges them.

A file holds two small matrices for some layers, `down` [r, in] and `up` [out, r]. Merged with
weight s the layer's weight becomes W + s * (alpha / r) * up @ down, where alpha is r unless the
file says otherwise. These forms of names are read, each with or without `unet.` or `prior.`
before it:

    mid_block.attentions.0.processor.to_q_lora.down.weight     diffusers' processors, to 0.29
    mid_block.attentions.0.to_q.lora.down.weight               diffusers' layers
    mid_block.attentions.0.to_q.lora_A.weight                  PEFT; A is down, B is up
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.checkpoints.json_files import load_json
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.seam.stored_dtypes import STORED
from kandinsky_core.seam.tensors import Tensors

__all__ = ["Adapter", "find_lora", "merged_weights", "read_lora"]

_FILE_NAMES = (
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
_PEFT_CONFIG = "adapter_config.json"
_PREFIX = re.compile(r"(?:base_model\.model\.|unet\.|prior\.)+")
_PROCESSOR = re.compile(r"(.+)\.processor\.(\w+)_lora\.(down|up|alpha)(?:\.weight)?")
_LAYER = re.compile(r"(.+)\.lora(?:_linear_layer)?\.(down|up|alpha)(?:\.weight)?")
_PEFT = re.compile(r"(.+)\.lora_(A|B)(?:\.default)?\.weight")
_ALPHA = re.compile(r"(.+)\.(alpha)")
_PARTS = {"A": "down", "B": "up"}
_SHOWN = 8
_LARGEST = 1e30  # of alpha and of r; what is larger does not fit float32 when it is multiplied


@dataclass(frozen=True, slots=True)
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

    def change(self, shape: tuple[int, ...]) -> FloatArray | None:
        """Return what to add to a weight of `shape` [out, in, ...]; None if it does not fit."""
        rank = len(self.down)
        fits = (
            self.up.shape[:2] == (shape[0], rank)
            and self.up.size == shape[0] * rank
            and self.down.shape[1:] == shape[1:]
        )
        if not fits:
            return None
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
        CheckpointError: The file is damaged, or holds anything but complete adapters of a known
            form.
    """
    file = find_lora(Path(path).expanduser())
    tensors: Any = TorchFile(file) if file.suffix == ".bin" else SafetensorsFiles([file])
    layers, unknown = _sorted(tensors)
    unknown += [f"{name} (no tensor)" for name in getattr(tensors, "others", ())]
    if unknown or not layers:
        some = ", ".join(unknown[:_SHOWN]) or "there is no tensor"
        raise CheckpointError(
            f"{file} is no LoRA of a UNet or prior that is known here: {len(unknown)} tensors do "
            f"not belong to one ({some})"
        )
    settings = _settings_of(file, getattr(tensors, "metadata", {}))
    return {
        f"{name}.weight": _adapter(file, name, parts, tensors, settings)
        for name, parts in layers.items()
    }


def merged_weights(
    adapters: Mapping[str, Adapter],
    weight: float,
    read: Callable[[Iterable[str]], Mapping[str, Array]],
) -> dict[str, FloatArray]:
    """Return the weights of a network with adapters merged.

    Args:
        adapters: See `read_lora`.
        weight: Factor of the change.
        read: Returns weights by their names, in PyTorch's layout. For weights that do not exist it
            raises KeyError with their names.

    Raises:
        KeyError: The network has no such layers.
        CheckpointError: The network's layers have other shapes, or a weight would be infinite.
    """
    present = read(adapters)
    merged, misfits = {}, []
    for name, adapter in adapters.items():
        values = np.asarray(present[name], np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is named below
            change = adapter.change(values.shape)
            changed = None if change is None else values + np.float32(weight) * change
        if changed is None:
            misfits.append(f"{name} {list(values.shape)}")
        elif np.isfinite(values).all() and not np.isfinite(changed).all():
            raise CheckpointError(
                f"the LoRA gives infinity in {name} at the weight {weight:g}: it is damaged, or "
                "the weight is too large"
            )
        else:
            merged[name] = changed
    if misfits:
        raise CheckpointError(
            f"the LoRA does not fit: {len(misfits)} layers have other shapes "
            f"({', '.join(misfits[:_SHOWN])}); it was trained for another model"
        )
    return merged


def find_lora(path: Path) -> Path:
    """Return the file of a LoRA: `path` itself, or the file in that folder.

    Raises:
        InvalidInputError: There is no such file.
    """
    if path.is_dir():
        for name in _FILE_NAMES:
            if (path / name).is_file():
                return path / name
        raise InvalidInputError(f"{path} holds no LoRA: expected one of {', '.join(_FILE_NAMES)}")
    if not path.is_file():
        raise InvalidInputError(f"no LoRA {str(path)!r}: there is no such file or folder")
    if path.suffix not in (".safetensors", ".bin"):
        raise InvalidInputError(f"{path}: a LoRA is a .safetensors or .bin file")
    return path


def _sorted(tensors: Tensors) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return for each layer the names of its parts, and the names that have no known form."""
    layers: dict[str, dict[str, str]] = {}
    unknown = []
    for name in tensors.names():
        inner = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
        layer, part = _layer_and_part(inner)
        if not layer:
            unknown.append(name)
            continue
        if layer.endswith(".to_out"):
            layer += ".0"
        parts = layers.setdefault(layer, {})
        if part in parts:
            unknown.append(f"{name} (a second {layer} {part})")
        parts[part] = name
    return layers, unknown


def _layer_and_part(name: str) -> tuple[str, str]:
    match = _PROCESSOR.fullmatch(name)
    if match is not None:
        return f"{match[1]}.{match[2]}", match[3]
    match = _LAYER.fullmatch(name) or _PEFT.fullmatch(name) or _ALPHA.fullmatch(name)
    if match is None:
        return "", ""
    return match[1], _PARTS.get(match[2], match[2])


def _adapter(
    file: Path, name: str, parts: Mapping[str, str], tensors: Tensors, settings: _Settings | None
) -> Adapter:
    missing = [part for part in ("down", "up") if part not in parts]
    if missing:
        raise CheckpointError(f"{file}: layer {name} has no {' and no '.join(missing)}")
    down, up = (_matrix(file, parts[part], tensors) for part in ("down", "up"))
    rank = len(down)
    if up.shape[1] != rank:
        raise CheckpointError(
            f"{file}: layer {name} has matrices of ranks {rank} and {up.shape[1]}, "
            "which do not belong together"
        )
    scale = 1.0
    if "alpha" in parts:
        scale = _alpha(file, parts["alpha"], tensors) / rank
    elif settings is not None:
        if settings.rank != rank:
            raise CheckpointError(
                f"{file}: layer {name} has rank {rank}, and the file's settings say "
                f"{settings.rank}: take the settings that belong to the file"
            )
        scale = settings.scale
    return Adapter(down, up, scale)


def _matrix(file: Path, name: str, tensors: Tensors) -> FloatArray:
    """Read one of the two matrices of a layer as float32."""
    shape, dtype = tensors.spec(name)
    if len(shape) < 2 or 0 in shape:
        raise CheckpointError(f"{file}: {name} is no matrix: its shape is {list(shape)}")
    if dtype in STORED and not STORED[dtype].floating:
        raise CheckpointError(f"{file}: {name} is {dtype}, and matrices are floating-point")
    with np.errstate(over="ignore"):  # what float32 cannot hold is named below
        values = np.asarray(tensors.read(name), np.float32)
    if not np.isfinite(values).all():
        raise CheckpointError(f"{file}: {name} holds NaN or infinity in float32")
    return values


def _alpha(file: Path, name: str, tensors: Tensors) -> float:
    shape, dtype = tensors.spec(name)
    value = float(tensors.read(name).reshape(())) if math.prod(shape) == 1 else math.nan
    if dtype == "BOOL" or not abs(value) <= _LARGEST:
        raise CheckpointError(
            f"{file}: {name} is {dtype} of shape {list(shape)} and no finite number, as alpha is"
        )
    return value


@dataclass(frozen=True, slots=True)
class _Settings:
    """What stands beside the matrices for all layers: their rank, and alpha / r."""

    rank: int
    scale: float


def _settings_of(file: Path, metadata: Mapping[str, str]) -> _Settings | None:
    """Return a whole file's settings: PEFT keeps them beside the file, diffusers in the header."""
    found: Any = None
    try:
        text = metadata.get("lora_adapter_metadata")
        found = None if text is None else json.loads(text)
        beside = file.with_name(_PEFT_CONFIG)
        if found is None and file.name.startswith("adapter_model") and beside.is_file():
            found = load_json(beside)
        return None if found is None else _settings(file, found)
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{file} has settings that cannot be read: {error!r}") from error


def _settings(file: Path, found: Any) -> _Settings:
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} in place of an object")
    plain: dict[str, Any] = {}
    for key, value in found.items():
        name = key.rpartition(".")[2]  # diffusers puts `unet.` before each
        if name in plain and plain[name] != value:
            raise ValueError(f"two values of {name}")
        plain[name] = value
    if plain.get("rank_pattern") or plain.get("alpha_pattern") or plain.get("use_dora"):
        raise CheckpointError(
            f"{file} has a rank or alpha of its own for each layer, or is a DoRA, "
            "which is not supported"
        )
    rank, alpha, root = plain["r"], plain["lora_alpha"], plain.get("use_rslora")
    if type(rank) is not int or not 0 < rank <= _LARGEST:
        raise ValueError(f"r is {rank!r}, and is a positive whole number")
    if type(alpha) not in (int, float) or not abs(alpha) <= _LARGEST:
        raise ValueError(f"lora_alpha is {alpha!r}, and is a finite number")
    if root not in (None, True, False):
        raise ValueError(f"use_rslora is {root!r}, and is true or false")
    return _Settings(rank, alpha / (rank**0.5 if root else rank))
