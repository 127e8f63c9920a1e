"""Divides the pictures to make among processes, each of which has one Ascend NPU.

    msrun --worker_num=8 --local_worker_num=8 --join=True --log_dir=logs msrun.py

Every picture has a seed of its own, so it is the same whatever the number of processes.
"""

import argparse
import os
from pathlib import Path

from kandinsky_core import AutoPipelineForText2Image

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="shapes")
parser.add_argument("--dtype", default="float16")
parser.add_argument("--prompt", default="a red circle on a blue background")
parser.add_argument("--num-images", type=int, default=16)
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--output", type=Path, default=Path())
options = parser.parse_args()

# msrun tells each process its number; MindSpore takes the NPU of that number.
rank, size = int(os.environ.get("RANK_ID", "0")), int(os.environ.get("RANK_SIZE", "1"))
seeds = list(range(rank, options.num_images, size))

pipe = AutoPipelineForText2Image.from_pretrained(
    options.model, backend="mindspore", dtype=options.dtype
)
if seeds:
    request = {"num_images_per_prompt": len(seeds), "seed": seeds}
    images = pipe(options.prompt, num_inference_steps=options.steps, **request).images
    options.output.mkdir(parents=True, exist_ok=True)
    for seed, image in zip(seeds, images, strict=True):
        image.save(options.output / f"{seed}.png")
