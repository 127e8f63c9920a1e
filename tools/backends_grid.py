"""Makes the README's picture of one prompt and seed on JAX, MindSpore and PyTorch diffusers.

python -m tools.backends_grid docs/images/backends.png

The three run in one process, with all defaults. It prints the largest difference from diffusers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from kandinsky_core import AutoPipelineForText2Image
from kandinsky_core.checkpoints.hub import EMBEDDED

PROMPTS = (
    "a large red circle on a blue background",
    "a small yellow star on a black background",
    "a green triangle at the top on a white background",
)
SEED = 0
SIDE = 64  # pixels of the model's pictures
ZOOM = 3
HEADING = 28  # pixels
Pictures = npt.NDArray[np.float32]  # [prompt, height, width, 3] in [0, 1]


def ours(backend: str) -> Pictures:
    """Make the pictures with one of our backends."""
    pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend=backend)
    pipe.set_progress_bar_config(disable=True)
    return np.concatenate(
        [pipe(prompt, seed=SEED, output_type="np").images for prompt in PROMPTS], dtype=np.float32
    )


def theirs() -> Pictures:
    """Make the pictures with diffusers alone."""
    model, options = EMBEDDED["shapes"], {"torch_dtype": torch.float32}
    prior: Any = diffusers.KandinskyV22PriorPipeline.from_pretrained(model / "prior", **options)
    decoder: Any = diffusers.KandinskyV22Pipeline.from_pretrained(model / "decoder", **options)
    prior.set_progress_bar_config(disable=True)
    decoder.set_progress_bar_config(disable=True)
    pictures = []
    for prompt in PROMPTS:
        generator = torch.Generator().manual_seed(SEED)
        embeds = prior(prompt, generator=generator).to_tuple()
        pictures.append(
            decoder(*embeds, height=SIDE, width=SIDE, generator=generator, output_type="np").images
        )
    return np.concatenate(pictures, dtype=np.float32)


def draw(columns: dict[str, Pictures]) -> Image.Image:
    """Set the pictures out: a column for each library under its name, a row for each prompt."""
    tile = SIDE * ZOOM
    sheet = Image.new("RGB", (len(columns) * tile, HEADING + len(PROMPTS) * tile), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for column, (name, pictures) in enumerate(columns.items()):
        pen.text(((column + 0.5) * tile, HEADING / 2), name, fill="black", font=font, anchor="mm")
        for row, picture in enumerate(pictures):
            image = Image.fromarray((picture * 255).round().astype(np.uint8))
            place = (column * tile, HEADING + row * tile)
            sheet.paste(image.resize((tile, tile), Image.Resampling.NEAREST), place)
    return sheet


def main(target: Path) -> None:
    """Write the picture and print how far the columns differ."""
    reference = theirs()
    columns = {"JAX": ours("jax"), "MindSpore": ours("mindspore")}
    for name, pictures in columns.items():
        print(f"{name}: max abs {np.abs(pictures - reference).max():.1e}")  # noqa: T201
    target.parent.mkdir(parents=True, exist_ok=True)
    draw(columns | {"PyTorch diffusers": reference}).save(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
