"""The embedded model with fewer layers and random weights, which compiles in half the time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core.checkpoints.hub import EMBEDDED

__all__ = ["write_shallow_shapes"]

_LEVELS = ("block_out_channels", "down_block_types", "up_block_types")


def write_shallow_shapes(root: Path) -> Path:
    """Write it with all its halves, tokenizer, sizes and widths; `root` is made."""
    shutil.copytree(EMBEDDED["shapes"], root)
    for file in sorted(root.glob("*/*/config.json")):
        config = json.loads(file.read_text(encoding="utf-8"))
        class_name = config.get("_class_name") or config["architectures"][0]
        config |= _fewer_layers(class_name, config)
        file.write_text(json.dumps(config), encoding="utf-8")
        (weights,) = file.parent.glob("*.safetensors")
        shapes = expected_tensors(class_name, config)
        save_file({name: _values(name, shape) for name, shape in shapes.items()}, weights)
    return root


def _fewer_layers(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    if class_name == "UNet2DConditionModel":
        return {name: [config[name][0], config[name][-1]] for name in _LEVELS}
    if class_name == "KandinskySuperResUNet":
        return {"block_out_channels": [24, 48], "layers_per_block": [2, 2]}
    layers = {"PriorTransformer": "num_layers", "VQModel": "layers_per_block"}
    return {layers.get(class_name, "num_hidden_layers"): 1}


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that keep activations of order one: norms near 1, the rest by what is summed."""
    rng = np.random.default_rng(sum(map(ord, name)))
    scale = max(1, np.prod(shape[1:])) ** -0.5
    norm = len(shape) == 1 and name.endswith("weight")
    return (scale * rng.standard_normal(shape) * (0.1 if norm else 1) + norm).astype(np.float16)
