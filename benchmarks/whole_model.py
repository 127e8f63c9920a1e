"""Writes the whole of Kandinsky 2.2 with random weights, at full size or smaller."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.full_size import RandomComponent, component
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.writers import write_safetensors
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["MODELS", "add_model", "write_model", "write_network"]

# model -> the fields of each config that are smaller than in the published model
MODELS: dict[str, dict[str, dict[str, Any]]] = {
    "full": {},
    "medium": {
        "unet": {"block_out_channels": [128, 256, 384, 512]},
        "prior": {"num_layers": 6},
        "text_encoder": {"num_hidden_layers": 8},
        "image_encoder": {"num_hidden_layers": 8},
    },
}
PARTS = {"decoder": ("unet", "movq"), "prior": ("prior", "text_encoder", "image_encoder")}
LENGTH = 77  # tokens of a prompt


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options for the model, its folder, and the size of its pictures."""
    parser.add_argument("--model", default="medium", help="shapes, medium (default), full, or DIR")
    parser.add_argument("--folder", type=Path, help="where the model is written (temporary)")
    parser.add_argument("--size", type=int, help="pixels of a side (the model's)")


def write_model(name: str, folder: Path) -> Path:
    """Write a decoder and a prior in diffusers' layout; all other files come from `shapes`."""
    for part, networks in PARTS.items():
        shutil.copytree(
            EMBEDDED["shapes"] / part, folder / part, ignore=lambda path, names: _weights(names)
        )
        for network in networks:
            source = component(f"kandinsky-2-2-{part}/{network}", "2.2")
            config = {**source.config, **MODELS[name].get(network, {})}
            write_network(folder / part / network, source.class_name, config)
    for path, changes in (
        ("tokenizer/tokenizer_config.json", {"model_max_length": LENGTH}),
        ("image_processor/preprocessor_config.json", {"size": 224, "crop_size": 224}),
    ):
        file = folder / "prior" / path
        file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | changes), "utf-8")
    return folder


def _weights(names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".safetensors")}


def write_network(
    folder: Path, class_name: str, config: Mapping[str, Any], stored: str = "float32"
) -> Path:
    """Write a network's config and random weights in a dtype, and return the file of weights."""
    named = {"_class_name": class_name, **config}
    (folder / "config.json").write_text(json.dumps(named), encoding="utf-8")
    tensors, dtype = RandomComponent(class_name, config).tensors(), BY_NAME[stored]
    specs = {
        name: (tensors.spec(name)[0], dtype.code) for name in expected_tensors(class_name, config)
    }
    stem = "model" if class_name.startswith("CLIP") else "diffusion_pytorch_model"
    path = folder / f"{stem}.safetensors"

    def read(name: str) -> Array:
        return tensors.read(name).astype(dtype.numpy, copy=False)

    write_safetensors(path, specs, read, {"format": "pt"})
    return path
