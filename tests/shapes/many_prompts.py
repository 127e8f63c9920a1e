"""Hundreds of pictures, judged, for the figures of docs/shapes.md; other tests judge a few.

    XLA_FLAGS=--xla_backend_optimization_level=1 python -m pytest tests/shapes/many_prompts.py -rP

The flag lets LLVM optimise what is compiled, which in other tests takes longer than it saves: here
a step takes half the time.
"""

from __future__ import annotations

from typing import Any

import pytest

from kandinsky_core import AutoPipelineForText2Image, DPMSolverMultistepScheduler
from tests.shapes.test_follows_prompts import (
    PROMISED,
    SAMPLE_ERRORS,
    check_other_settings,
    shares,
)
from tools.shapes.prompts import evaluation_prompts


@pytest.fixture
def pipe() -> Any:
    """For each test, as one changes the scheduler; what was compiled is kept in a folder."""
    pipeline = AutoPipelineForText2Image.from_pretrained("shapes")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_all_prompts_with_default_settings(pipe: Any) -> None:
    found = shares(pipe, evaluation_prompts(208, seed=0))
    print(found)  # noqa: T201 - shown by pytest -rP; the README quotes it
    assert all(found[name] >= share for name, share in PROMISED.items()), found


def test_other_settings(pipe: Any) -> None:
    check_other_settings(pipe, 48)


def test_twenty_steps_of_dpm_solver_reach_fifty_of_ddpm(pipe: Any) -> None:
    """The same prompts and seeds; a scheduler is changed as in diffusers."""
    prompts = evaluation_prompts(64, seed=4)
    slow = shares(pipe, prompts, num_inference_steps=50)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    fast = shares(pipe, prompts, num_inference_steps=20)
    print(f"DDPM, 50 steps: {slow}; DPM-Solver++, 20 steps: {fast}")  # noqa: T201
    assert all(fast[name] >= slow[name] - SAMPLE_ERRORS / len(prompts) for name in slow), fast
