"""Small models under the names of the published ones, for samples that name these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parity import tiny
from tests.parity.original_kandinsky3 import MOVQ, UNET, save_repository
from tests.parity.random_models import save_decoder, save_image_tasks, save_prior
from tests.parity.random_models_2_1 import save_kandinsky2_1
from tests.parity.random_models_3 import save_kandinsky3, tokenizer
from tests.support.fake_hub import FakeHub
from tests.support.published import published_json

transformers = pytest.importorskip("transformers")

__all__ = ["publish", "save_depth_model", "save_models"]

_OWNER = "kandinsky-community"


def save_models(root: Path) -> Path:
    """Save a folder for each published model: `owner/name` below `root`."""
    community = root / _OWNER
    save_kandinsky2_1(root / "parts")
    for name, part in {"": "decoder", "-inpaint": "inpaint", "-prior": "prior"}.items():
        (root / "parts" / part).rename(_below(community / f"kandinsky-2-1{name}"))
    second = community / "kandinsky-2-1" / "ddpm_scheduler"
    second.mkdir()
    config = published_json("2.1/ddpm_scheduler")
    (second / "scheduler_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_prior(community / "kandinsky-2-2-prior")
    save_decoder(community / "kandinsky-2-2-decoder")
    save_image_tasks(root / "parts")
    for part, name in {"inpaint": "decoder-inpaint", "controlnet": "controlnet-depth"}.items():
        (root / "parts" / part).rename(community / f"kandinsky-2-2-{name}")
    for family in ("2-1", "2-2"):
        for decoder in community.glob(f"kandinsky-{family}*"):
            card = f"---\nprior:\n- {_OWNER}/kandinsky-{family}-prior\n---\n"
            (decoder / "README.md").write_text(card, encoding="utf-8")
    _add_variant(save_kandinsky3(community / "kandinsky-3"), "fp16")
    unet = tiny.kandinsky3_unet(UNET)
    names = ("kandinsky3", "kandinsky3_flash")
    unets = dict.fromkeys(names, unet)
    unets["kandinsky3_inpainting"] = tiny.kandinsky3_inpainting_unet(UNET)
    weights = root / "ai-forever" / "Kandinsky3.1" / "weights"
    save_repository(weights, unets, tiny.movq(MOVQ), tiny.t5(tiny.T5), tokenizer())
    return root


def publish(hub: FakeHub, root: Path) -> None:
    """Let the hub have what `save_models` saved."""
    for folder in [*root.glob(f"{_OWNER}/*"), *root.glob("ai-forever/*")]:
        hub.add(f"{folder.parent.name}/{folder.name}", folder)


def save_depth_model(folder: Path) -> Path:
    """Save a small random model of depth, for transformers' pipeline."""
    config: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 32,
        "patch_size": 16,
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [8, 8, 8, 8],
        "fusion_hidden_size": 8,
        "is_hybrid": False,
    }
    network = transformers.DPTForDepthEstimation(transformers.DPTConfig(**config))
    network.save_pretrained(folder)
    processor = transformers.DPTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return folder


def _below(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _add_variant(folder: Path, variant: str) -> None:
    """Keep the weights under a variant's names alone, as a sample that asks for it shows."""
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))
