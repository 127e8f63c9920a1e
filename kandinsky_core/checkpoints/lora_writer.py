"""Writes adapters (LoRA) as the safetensors files that diffusers and PEFT read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.lora import Adapter
from kandinsky_core.checkpoints.user_paths import user_path
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import replace_file, why_not

__all__ = ["adapter_tensors", "write_lora"]

_FILE_NAME = "pytorch_lora_weights.safetensors"


def adapter_tensors(layers: Mapping[str, Adapter]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return adapters under PEFT's names, and the settings that say their ranks and alphas.

    Args:
        layers: The adapters by the names of the weights that they change.

    Returns:
        Tensors by names, `....to_q.lora_A.weight` for example, and entries of `LoraConfig`.
    """
    tensors, ranks, alphas = {}, {}, {}
    for weight, adapter in layers.items():
        layer = weight.removesuffix(".weight")
        tensors[f"{layer}.lora_A.weight"] = adapter.down
        tensors[f"{layer}.lora_B.weight"] = adapter.up
        ranks[layer] = len(adapter.down)
        alphas[layer] = adapter.scale * len(adapter.down)
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    settings = {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {f"^{name}": value for name, value in ranks.items() if value != rank},
        "alpha_pattern": {f"^{name}": value for name, value in alphas.items() if value != alpha},
        "target_modules": sorted(ranks),
        "use_dora": False,
        "lora_bias": False,
    }
    return tensors, settings


def write_lora(
    folder: str | Path,
    tensors: Mapping[str, Array],
    settings: Mapping[str, Any] | None,
    weight_name: str | None,
) -> Path:
    """Write a file of adapters into a folder, which is made where it is missing.

    Args:
        folder: The folder.
        tensors: The tensors by their names.
        settings: What the header says of ranks and alphas; None leaves it out.
        weight_name: Name of the file; None takes diffusers' usual one.

    Returns:
        The file.

    Raises:
        InvalidInputError: The name is no plain name of a .safetensors file, there is nothing to
            write, or the folder cannot be written.
    """
    name = _FILE_NAME if weight_name is None else weight_name
    if not isinstance(name, str) or not name.endswith(".safetensors") or Path(name).name != name:
        raise InvalidInputError(f"weight_name={name!r}: give the plain name of a .safetensors file")
    if not tensors:
        raise InvalidInputError("there is no adapter to write: give tensors by their names")
    metadata = {"format": "pt"}
    if settings is not None:
        text = json.dumps(dict(settings), indent=2, sort_keys=True, default=_as_json)
        metadata["lora_adapter_metadata"] = text
    path = user_path(folder) / name
    try:
        with replace_file(path) as temporary:
            # safetensors writes the bytes of an array in the order that they have in memory.
            rows = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
            save_file(rows, temporary, metadata)
    except (OSError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be written: {why_not(error)}") from error
    return path


def _as_json(value: Any) -> Any:
    """Return what JSON can hold: PEFT's settings have sets of names, and members of enums."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)
