"""The embedded model shows what the prompt names; pictures are judged by their pixels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import AutoPipelineForText2Image
from tools.shapes.judge import judge
from tools.shapes.prompts import ATTRIBUTES, Prompt, check, evaluation_prompts

# Shares of pictures that must be right: the project's promise for two hundred. Of a small sample so
# many more may be wrong by chance.
PROMISED = {"colour": 0.97, "ground": 0.97, "kind": 0.92, "position": 0.92}
SAMPLE_ERRORS = 3
OPTIMISED = "--xla_backend_optimization_level=1"
BATCH = 8


@pytest.fixture(scope="module")
def pipe() -> Any:
    pipeline = AutoPipelineForText2Image.from_pretrained("shapes")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def shares(pipe: Any, prompts: Sequence[Prompt], **options: Any) -> dict[str, float]:
    """Draw each prompt with a seed of its own; return the share that is right, by attribute."""
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for start in range(0, len(prompts), BATCH):
        some = prompts[start : start + BATCH]
        seeds = list(range(start, start + len(some)))
        images = pipe([prompt.text for prompt in some], seed=seeds, **options).images
        for prompt, image in zip(some, images, strict=True):
            for name, is_right in check(judge(image), prompt).items():
                right[name].append(is_right)
    return {name: float(np.mean(values)) for name, values in right.items()}


def test_sample_of_prompts(pipe: Any) -> None:
    prompts = evaluation_prompts(2 * BATCH, seed=1)
    found = shares(pipe, prompts, num_inference_steps=25)
    chance = SAMPLE_ERRORS / len(prompts)
    assert all(found[name] >= share - chance for name, share in PROMISED.items()), found


@pytest.mark.slow(seconds=260)
def test_many_prompts() -> None:
    """With default settings, as the model cards do it, and by a faster scheduler."""
    file = "tests/shapes/many_prompts.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rP", file],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"XLA_FLAGS": OPTIMISED},
        capture_output=True,
        text=True,
    )
    print(done.stdout)  # noqa: T201 - shown by pytest -rP; the README quotes it
    assert done.returncode == 0, done.stdout + done.stderr
