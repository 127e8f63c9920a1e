"""Writes a small upscaler of random weights, as a folder in diffusers' layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from kandinsky_converters.inventory.expected import expected_tensors

__all__ = ["UPSCALER", "write_upscaler"]

UPSCALER = {
    "_class_name": "KandinskySuperResUNet",
    "scale": 4,
    "sample_size": 64,
    "in_channels": 6,
    "out_channels": 3,
    "init_channels": 8,
    "block_out_channels": [8, 8],
    "layers_per_block": [2, 2],
    "time_embedding_dim": 8,
    "groups": 4,
}


def write_upscaler(folder: Path, scale: int = 4) -> Path:
    """Write the folder, and return it."""
    index = {
        "_class_name": "KandinskySuperResPipeline",
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
        "unet": ["kandinsky_core", "KandinskySuperResUNet"],
    }
    scheduler = {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "sample"}
    config = {**UPSCALER, "scale": scale}
    for name in ("unet", "scheduler"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(scheduler))
    (folder / "unet/config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(3)
    shapes = expected_tensors("KandinskySuperResUNet", config)
    tensors = {
        name: rng.standard_normal(shape, np.float32) * np.float32(0.2)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "unet/diffusion_pytorch_model.safetensors")
    return folder
