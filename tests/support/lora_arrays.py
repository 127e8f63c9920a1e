"""Small LoRAs in every form of names, and a network of NumPy arrays that takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from kandinsky_backend_kit.adapted_network import AdaptedNetwork
from kandinsky_core.pipelines.shared.lora_calls import LoraCalls

Arrays = dict[str, np.ndarray]
RNG = np.random.default_rng(11)
# Widths of a layer's input and output.
LAYERS = {
    "mid_block.attentions.0.to_q": (12, 12),
    "mid_block.attentions.0.to_out.0": (12, 12),
    "down_blocks.1.attentions.2.add_k_proj": (7, 12),
    "up_blocks.0.attentions.1.to_v": (12, 12),
}
RANK = 3
DOWN = {name: RNG.standard_normal((RANK, n), np.float32) for name, (n, _) in LAYERS.items()}
UP = {name: RNG.standard_normal((n, RANK), np.float32) for name, (_, n) in LAYERS.items()}


class Network(AdaptedNetwork):
    """Weights in a dict, in one dtype."""

    def __init__(self, weights: Arrays) -> None:
        super().__init__()
        self.weights = dict(weights)

    def read_weights(self, names: Any) -> Arrays:
        absent = [name for name in names if name not in self.weights]
        if absent:
            raise KeyError(*absent)
        return {name: self.weights[name].copy() for name in names}

    def _write_weights(self, values: Any) -> None:
        for name, array in values.items():
            self.weights[name] = np.asarray(array, self.weights[name].dtype)


def network(dtype: Any = np.float32) -> Network:
    rng = np.random.default_rng(5)
    weights = {
        f"{name}.weight": rng.standard_normal((n_out, n_in)).astype(dtype)
        for name, (n_in, n_out) in LAYERS.items()
    }
    return Network({**weights, "conv_in.weight": rng.standard_normal((4, 3, 3, 3)).astype(dtype)})


def processor(name: str) -> tuple[str, str]:
    block, _, layer = name.removesuffix(".0").rpartition(".")
    return (
        f"{block}.processor.{layer}_lora.down.weight",
        f"{block}.processor.{layer}_lora.up.weight",
    )


FORMS: dict[str, Callable[[str], tuple[str, str]]] = {
    "processor": processor,
    "layer": lambda name: (f"{name}.lora.down.weight", f"{name}.lora.up.weight"),
    "old layer": lambda name: (
        f"{name.removesuffix('.0')}.lora_linear_layer.down.weight",
        f"{name.removesuffix('.0')}.lora_linear_layer.up.weight",
    ),
    "peft": lambda name: (f"{name}.lora_A.weight", f"{name}.lora_B.weight"),
    "peft named": lambda name: (
        f"{name}.lora_A.default_0.weight",
        f"{name}.lora_B.default_0.weight",
    ),
}


def arrays(form: str = "processor", prefix: str = "") -> Arrays:
    made = {}
    for name in LAYERS:
        down, up = FORMS[form](name)
        made[prefix + down], made[prefix + up] = DOWN[name], UP[name]
    return made


def save(path: Path, content: Arrays, metadata: dict[str, str] | None = None) -> Path:
    """Write a safetensors file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(content, path, metadata)
    return path


class Pipe(LoraCalls):
    """A pipeline of nothing except networks."""

    networks: Any = None

    def __init__(self, **networks: Any) -> None:
        self.networks = networks
