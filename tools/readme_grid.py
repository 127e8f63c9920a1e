"""Makes the README's grid of pictures with the project's own command line.

python -m tools.readme_grid docs/images/shapes.png
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from kandinsky_core import make_image_grid

PROMPTS = (
    "a large red circle on a blue background",
    "a small yellow star on a black background",
    "a green triangle at the top on a white background",
    "a purple square on the left on an orange background",
    "a large white star on a red background",
    "a small black circle at the bottom on a yellow background",
    "a blue square on the right on a green background",
    "a red circle on the left and a green square on the right on a white background",
)
SEEDS = (0, 1)
SIDE = 96


def main(target: Path) -> None:
    """Write the grid: a column for each prompt, a row for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        for number, prompt in enumerate(PROMPTS):
            output = Path(folder, f"{number}.png")
            command = ["kandinsky", "generate", prompt, "--output", str(output)]
            subprocess.run([*command, "--seed", *map(str, SEEDS)], check=True)
        pictures = [
            Image.open(Path(folder, f"{number}-{seed}.png"))
            for seed in SEEDS
            for number in range(len(PROMPTS))
        ]
        target.parent.mkdir(parents=True, exist_ok=True)
        make_image_grid(pictures, len(SEEDS), len(PROMPTS), resize=SIDE).save(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
