"""Stores pictures that PyTorch diffusers makes with `shapes`, for tests without PyTorch.

python -m tools.golden tests/data/golden.npz
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.files import replace_file

REQUESTS: tuple[dict[str, Any], ...] = (
    {"prompt": "a large red circle on a blue background"},
    {"prompt": "a small star at the top", "negative_prompt": "green", "height": 48, "width": 90},
    {"prompt": "BLACK SQUARE", "guidance_scale": 1.0, "prior_guidance_scale": 1.0},
)
SHARED = {"height": 64, "width": 64, "num_inference_steps": 12, "prior_num_inference_steps": 6}
SEED = 7


def reference() -> Any:
    """Return diffusers' combined pipeline of the embedded model."""
    prior = diffusers.KandinskyV22PriorPipeline.from_pretrained(
        EMBEDDED["shapes"] / "prior", torch_dtype=torch.float32
    )
    decoder = diffusers.KandinskyV22Pipeline.from_pretrained(
        EMBEDDED["shapes"] / "decoder", torch_dtype=torch.float32
    )
    components = {f"prior_{name}": value for name, value in prior.components.items()}
    return diffusers.KandinskyV22CombinedPipeline(**decoder.components, **components)


def main(target: Path) -> None:
    """Write the pictures as float16, which holds values in [0, 1] to 2e-4."""
    pipeline = reference()
    requests = [SHARED | request for request in REQUESTS]
    pictures = {}
    for number, request in enumerate(requests):
        generator = torch.Generator().manual_seed(SEED)
        image = pipeline(**request, generator=generator, output_type="np").images
        image = image[:, : request["height"], : request["width"]]
        pictures[f"picture_{number}"] = image.astype(np.float16)
    about = json.dumps([request | {"seed": SEED} for request in requests])
    made_by = f"torch {version('torch')}, diffusers {version('diffusers')}"
    with replace_file(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, made_by=made_by, requests=about, **pictures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
