"""A folder as ai-forever/kandinsky3_ip_adapter is published: the fork's classes, and pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.originals import kandinsky3
from kandinsky_core.arrays import Array
from tests.support.kandinsky3 import MOVQ_JSON, T5_JSON
from tests.support.torch_archive import write_torch_file

__all__ = ["GOLDEN", "UNET", "original_unet", "unet_tensors", "write_ip_adapter"]

_DATA = Path(__file__).parents[1] / "data"
GOLDEN = _DATA / "k3_ip_adapter"
UNET: dict[str, Any] = {
    "_class_name": "Kandinsky3UNet",
    "attention_head_dim": 8,
    "block_out_channels": [8, 16, 24, 32],
    "cross_attention_dim": 32,
    "encoder_hid_dim": 24,
    "groups": 4,
    "image_embed_dim": 16,
    "in_channels": 4,
    "layers_per_block": 2,
    "num_image_tokens": 4,
    "time_embedding_dim": 16,
}
_MOVQ = MOVQ_JSON | {"block_out_channels": [32, 32, 32, 32], "num_vq_embeddings": 4}
_T5 = T5_JSON | {"d_ff": 16, "d_kv": 8, "d_model": 24, "num_heads": 2, "num_layers": 1}
_T5 |= {"vocab_size": 99}
_CLASSES = {
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "image_processor": ["transformers", "CLIPImageProcessor"],
    "movq": ["diffusers", "VQModel"],
    "scheduler": ["diffusers", "DDPMScheduler"],
    "text_encoder": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "T5Tokenizer"],
    "unet": ["diffusers", "UNetKandi3IpAdapter"],
}


def original_unet() -> dict[str, Array]:
    """The tensors of the UNet with its IP-Adapter under the fork's names."""
    files = (_DATA / "k3_lora/unet.safetensors", GOLDEN / "unet_ip_keys.safetensors")
    return {name: array for path in files for name, array in load_file(path).items()}


def unet_tensors() -> dict[str, Array]:
    """The same under our names."""
    original = original_unet()
    return {target: original[name] for name in original for target, _ in kandinsky3.unet(name)}


def write_ip_adapter(root: Path) -> Path:
    """Write the folder and return it; its tokenizer is of no use."""
    _write(root / "model_index.json", {"_class_name": "KandinskyV3Pipeline", **_CLASSES})
    # As published, the config says nothing of the IP-Adapter.
    config = json.loads((_DATA / "k3_lora/unet_config.json").read_text())
    _write(root / "unet/config.json", config)
    write_torch_file(root / "unet/diffusion_pytorch_model.bin", original_unet())
    rng = np.random.default_rng(3)
    for name, stem, config in (
        ("movq", "diffusion_pytorch_model", _MOVQ),
        ("text_encoder", "pytorch_model", _T5),
    ):
        arrays = {
            tensor: (0.05 * rng.standard_normal(shape)).astype(np.float32)
            for tensor, shape in expected_tensors(_CLASSES[name][1], config).items()
        }
        _write(root / name / "config.json", config)
        write_torch_file(root / name / f"{stem}.bin", arrays)
    for name, file, source in (
        ("image_encoder", "config.json", "image_encoder_config.json"),
        ("image_encoder", "model.safetensors", "image_encoder.safetensors"),
        ("image_processor", "preprocessor_config.json", "preprocessor_config.json"),
        ("scheduler", "scheduler_config.json", "scheduler_config.json"),
    ):
        (root / name).mkdir(exist_ok=True)
        (root / name / file).write_bytes((GOLDEN / source).read_bytes())
    (root / "tokenizer").mkdir()
    (root / "tokenizer/spiece.model").write_bytes(b"no tokenizer")
    return root


def _write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
