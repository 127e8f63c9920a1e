"""A folder of Kandinsky 3 in diffusers' layout with small random weights, made without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from kandinsky_converters.inventory.expected import expected_tensors
from tests.support.kandinsky3 import MOVQ_JSON, T5_JSON, UNET_JSON

__all__ = ["MOVQ", "T5", "UNET", "write_kandinsky3"]

UNET: dict[str, Any] = UNET_JSON | {
    "attention_head_dim": 8,
    "block_out_channels": [16, 32, 64, 128],
    "cross_attention_dim": 32,
    "encoder_hid_dim": 48,
    "groups": 4,
    "time_embedding_dim": 16,
}
MOVQ: dict[str, Any] = MOVQ_JSON | {
    "block_out_channels": [32, 64, 64, 96],
    "num_vq_embeddings": 12,
    "norm_num_groups": 16,
}
T5: dict[str, Any] = T5_JSON | {
    "d_ff": 512,
    "d_kv": 64,
    "d_model": 48,
    "num_heads": 4,
    "num_layers": 8,
    "vocab_size": 99,
}
_FILES = {
    "unet": ("Kandinsky3UNet", UNET, "diffusion_pytorch_model"),
    "movq": ("VQModel", MOVQ, "diffusion_pytorch_model"),
    "text_encoder": ("T5EncoderModel", T5, "model"),
}


def write_kandinsky3(root: Path, infix: str = "") -> Path:
    """Write it in float16, as it is published; T5's embedding has both of its names.

    Args:
        root: The folder, which is made.
        infix: `.fp16` for weights of that variant.
    """
    index: dict[str, Any] = {"_class_name": "Kandinsky3Pipeline"}
    rng = np.random.default_rng(3)
    for name, (class_name, config, stem) in _FILES.items():
        index[name] = ["diffusers", class_name]
        arrays = {
            tensor: (0.05 * rng.standard_normal(shape, np.float32)).astype(np.float16)
            for tensor, shape in expected_tensors(class_name, config).items()
        }
        if class_name == "T5EncoderModel":
            arrays["encoder.embed_tokens.weight"] = arrays["shared.weight"]
        _write_json(root / name / "config.json", config)
        save_file(arrays, root / name / f"{stem}{infix}.safetensors")
    index["scheduler"] = ["diffusers", "DDPMScheduler"]
    _write_json(root / "scheduler/scheduler_config.json", {"_class_name": "DDPMScheduler"})
    _write_json(root / "model_index.json", index)
    return root


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
