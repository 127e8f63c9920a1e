"""A folder of kandinsky3-diffusers whose UNet has an IP-Adapter, and a branch beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.kandinsky3_fork_folder import fork_config_of, fork_weights
from tests.support.kandinsky3_ip_adapter_folder import write_ip_adapter
from tests.support.torch_archive import write_torch_file

__all__ = ["write_adapters"]

_BRANCH = "unet_controlnet"


def write_adapters(root: Path, tokenizer: Any = None) -> Path:
    """Write the folder and return it.

    Args:
        root: The folder.
        tokenizer: transformers' T5 tokenizer; without it that of the folder is of no use.
    """
    write_ip_adapter(root)
    if tokenizer is not None:
        shutil.rmtree(root / "tokenizer")
        tokenizer.save_pretrained(root / "tokenizer")
    (root / _BRANCH).mkdir()
    (root / _BRANCH / "config.json").write_text(json.dumps(fork_config_of(_BRANCH)))
    write_torch_file(root / _BRANCH / "diffusion_pytorch_model.bin", fork_weights(_BRANCH))
    index = json.loads((root / "model_index.json").read_text())
    index[_BRANCH] = ["diffusers", "UNetKandi3Controlnet"]
    (root / "model_index.json").write_text(json.dumps(index))
    return root
