"""Write the trained upscaler as a folder: python -m tools.shapes.export_upscaler WORK OUTPUT."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tools.shapes.upscaler_network import UPSCALER

__all__ = ["export_upscaler"]

_INDEX = {
    "_class_name": "KandinskySuperResPipeline",
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "unet": ["kandinsky_core", "KandinskySuperResUNet"],
}
_SCHEDULER = {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "sample"}


def export_upscaler(work: Path, output: Path) -> None:
    """Write `upscaler.pt` of the training in float16, with its configs."""
    weights = torch.load(work / "upscaler.pt", weights_only=True)
    config = {"_class_name": UPSCALER.CLASS_NAME, **dataclasses.asdict(UPSCALER)}
    files = {
        "model_index.json": _INDEX,
        "unet/config.json": config,
        "scheduler/scheduler_config.json": _SCHEDULER,
    }
    for name, content in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(halves, output / "unet/diffusion_pytorch_model.safetensors", {"format": "pt"})


if __name__ == "__main__":
    export_upscaler(Path(sys.argv[1]), Path(sys.argv[2]))
