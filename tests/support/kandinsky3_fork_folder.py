"""Folders of kandinsky3-diffusers as published: its classes and names, its weights as pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from kandinsky_converters.inventory.expected import expected_tensors
from tests.support.kandinsky3_folder import MOVQ
from tests.support.torch_archive import write_torch_file

__all__ = ["CONTROL_DATA", "LORA_DATA", "fork_config_of", "fork_weights", "write_fork"]

CONTROL_DATA = Path(__file__).parents[1] / "data" / "k3_controlnet"
"""Small weights, configs and numbers of the original; see the README there."""
LORA_DATA = CONTROL_DATA.with_name("k3_lora")
"""The same of the plain UNet."""

_FORMS = {
    "v2": {"unet": "UNetKandi3", "unet_controlnet": "UNetKandi3Controlnet"},
    "hed": {"unet": "UNetKandi3Controlnet2"},
}


def fork_weights(name: str) -> dict[str, Any]:
    """Weights by the original's names; those of HED edges are put together of three files."""
    if name != "unet_hed":
        return load_file(_folder(name) / f"{name}.safetensors")
    stem = {k: v for k, v in fork_weights("unet_controlnet").items() if "input_hint_block" in k}
    return fork_weights("unet") | stem | fork_weights("unet_hed_delta")


def fork_config_of(name: str) -> dict[str, Any]:
    """The config.json of a network, whose class is not always right."""
    found: dict[str, Any] = json.loads((_folder(name) / f"{name}_config.json").read_text())
    return found


def _folder(name: str) -> Path:
    return LORA_DATA if name == "unet" else CONTROL_DATA


def write_fork(root: Path, form: str) -> Path:
    """Write a model without text encoder.

    Args:
        root: The folder, which is made.
        form: `v2`, a UNet and a branch; or `hed`, a UNet that reads edges.
    """
    index: dict[str, Any] = {"_class_name": "KandinskyV3ControlnetPipeline"}
    for name, class_name in _FORMS[form].items():
        index[name] = ["diffusers", class_name]
        file = "unet_hed" if form == "hed" else name
        _write_json(root / name / "config.json", fork_config_of(file))
        write_torch_file(root / name / "diffusion_pytorch_model.bin", fork_weights(file))
    index["movq"] = ["diffusers", "VQModel"]
    _write_json(root / "movq/config.json", MOVQ)
    shapes = expected_tensors("VQModel", MOVQ)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    write_torch_file(root / "movq/diffusion_pytorch_model.bin", zeros)
    index["tokenizer"] = ["transformers", "T5Tokenizer"]
    (root / "tokenizer").mkdir()
    (root / "tokenizer/spiece.model").write_bytes(b"pieces")
    index["scheduler"] = ["diffusers", "DDPMScheduler"]
    scheduler = {"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2"}
    _write_json(root / "scheduler/scheduler_config.json", scheduler)
    _write_json(root / "model_index.json", index)
    return root


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
