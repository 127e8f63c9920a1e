"""The embedded model shows what the prompt names; pictures are judged by their pixels."""

from __future__ import annotations

from collections.abc import Sequence
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
# Words that the small model has never read disturb it. diffusers with other prompts: 0.90, 0.97,
# 0.82, 0.98 (`tools/shapes/results/negative.json`).
UNKNOWN_WORDS = {"colour": 0.90, "ground": 0.96, "kind": 0.80, "position": 0.96}
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


@pytest.mark.slow(seconds=15)
def test_sample_of_prompts(pipe: Any) -> None:
    prompts = evaluation_prompts(2 * BATCH, seed=1)
    found = shares(pipe, prompts, num_inference_steps=25)
    chance = SAMPLE_ERRORS / len(prompts)
    assert all(found[name] >= share - chance for name, share in PROMISED.items()), found


def check_other_settings(pipe: Any, count: int) -> None:
    """As the model cards do it: a negative prompt, a prior without guidance, fewer steps."""
    prompts = evaluation_prompts(count, seed=2)
    negative = "low quality, bad quality"
    for floors, options in (
        (UNKNOWN_WORDS, {"negative_prompt": negative, "num_inference_steps": 50}),
        (PROMISED, {"prior_guidance_scale": 1.0, "num_inference_steps": 30}),
    ):
        found = shares(pipe, prompts, **options)
        print(options, found)  # noqa: T201
        chance = SAMPLE_ERRORS / len(prompts)
        assert all(found[name] >= share - chance for name, share in floors.items()), found


@pytest.mark.slow(seconds=15)
def test_other_settings(pipe: Any) -> None:
    """Of a few pictures; many_prompts.py asks the same of many."""
    check_other_settings(pipe, BATCH)
