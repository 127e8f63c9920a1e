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
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["Adapter", "merged_weights", "read_lora"]

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
    file = _find(Path(path).expanduser())
    tensors: Any = TorchFile(file) if file.suffix == ".bin" else SafetensorsFiles([file])
    layers, unknown = _sorted(tensors)
    if unknown or not layers:
        some = ", ".join(unknown[:_SHOWN]) or "there is no tensor"
        raise CheckpointError(
            f"{file} is no LoRA of a UNet or prior that is known here: {len(unknown)} tensors do "
            f"not belong to one ({some})"
        )
    scale = _scale_of(file)
    return {
        f"{name}.weight": _adapter(file, name, parts, tensors, scale)
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
        CheckpointError: The network's layers have other shapes.
    """
    present = read(adapters)
    merged, misfits = {}, []
    for name, adapter in adapters.items():
        values = np.asarray(present[name], np.float32)
        change = adapter.change(values.shape)
        if change is None:
            misfits.append(f"{name} {list(values.shape)}")
        else:
            merged[name] = values + np.float32(weight) * change
    if misfits:
        raise CheckpointError(
            f"the LoRA does not fit: {len(misfits)} layers have other shapes "
            f"({', '.join(misfits[:_SHOWN])}); it was trained for another model"
        )
    return merged


def _find(path: Path) -> Path:
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
    file: Path, name: str, parts: Mapping[str, str], tensors: Tensors, scale: float | None
) -> Adapter:
    missing = [part for part in ("down", "up") if part not in parts]
    if missing:
        raise CheckpointError(f"{file}: layer {name} has no {' and no '.join(missing)}")
    down, up = (np.asarray(tensors.read(parts[part]), np.float32) for part in ("down", "up"))
    if down.ndim < 2 or up.ndim < 2 or 0 in down.shape:
        raise CheckpointError(f"{file}: layer {name} has no matrices")
    if not (np.isfinite(down).all() and np.isfinite(up).all()):
        raise CheckpointError(f"{file}: layer {name} holds NaN or infinity")
    if "alpha" in parts:
        alpha = np.asarray(tensors.read(parts["alpha"]), np.float64).reshape(-1)
        if alpha.size != 1 or not np.isfinite(alpha[0]):
            raise CheckpointError(f"{file}: layer {name} has an alpha that is no number")
        scale = float(alpha[0]) / len(down)
    return Adapter(down, up, 1.0 if scale is None else scale)


def _scale_of(file: Path) -> float | None:
    """alpha / r of a whole file, which PEFT keeps beside it and diffusers in its header."""
    found: Any = None
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="np") as opened:
                text = (opened.metadata() or {}).get("lora_adapter_metadata")
            found = None if text is None else json.loads(text)
        beside = file.with_name(_PEFT_CONFIG)
        if found is None and file.name.startswith("adapter_model") and beside.is_file():
            found = json.loads(beside.read_text(encoding="utf-8"))
        if found is None:
            return None
        plain = {key.rpartition(".")[2]: value for key, value in found.items()}
        if plain.get("rank_pattern") or plain.get("alpha_pattern") or plain.get("use_dora"):
            raise CheckpointError(
                f"{file} has a rank or alpha of its own for each layer, or is a DoRA, "
                "which is not supported"
            )
        rank = float(plain["r"])
        return float(plain["lora_alpha"]) / (rank**0.5 if plain.get("use_rslora") else rank)
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file} has settings that cannot be read: {error!r}") from error
