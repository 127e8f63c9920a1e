"""Makes the picture of the embedded upscaler at work.

python -m tools.upscaler_grid docs/images/upscaler.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kandinsky_core import (
    AutoPipelineForText2Image,
    KandinskySuperResPipeline,
    make_image_grid,
)
from tools.shapes.evaluate_upscaler import shrunk
from tools.shapes.scenes import draw, random_scene

PROMPTS = ("a large red circle on a blue background", "a yellow star on a black background")
SIDE, DRAWN = 256, 2


def small_pictures() -> list[Image.Image]:
    """Return pictures of 64 pixels: first drawn ones, then those that `shapes` makes."""
    rng = np.random.default_rng(4)
    drawn = [shrunk(draw(random_scene(rng), SIDE)) for _ in range(DRAWN)]
    pipe: Any = AutoPipelineForText2Image.from_pretrained("shapes")
    return drawn + [pipe(prompt, seed=0).images[0] for prompt in PROMPTS]


def main(target: Path) -> None:
    """Write two rows: enlarged by bicubic interpolation, and by the upscaler."""
    small = small_pictures()
    upscaler = KandinskySuperResPipeline.from_pretrained("shapes")
    plain = [image.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in small]
    make_image_grid([*plain, *upscaler(small).images], 2, len(small)).save(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
