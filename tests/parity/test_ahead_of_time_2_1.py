"""`compile` of Kandinsky 2.1's pipelines, on small random weights: calls compile nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
pytest.importorskip("jax")

import kandinsky_core as kandinsky
from kandinsky_core.seam.compile_only import compile_only
from tests.support.xlm_roberta_vocabulary import PROMPTS

PICTURE = np.zeros((40, 24, 3), np.uint8)
SIZE: dict[str, Any] = {"height": 32, "width": 64, "num_inference_steps": 4, "seed": 1}


@pytest.mark.slow
def test_calls_compile_nothing_more(multilingual_root: Path) -> None:
    backend: Any = kandinsky.get_backend("jax")
    options = {"backend": backend, "prior": multilingual_root / "prior"}
    pipeline = kandinsky.KandinskyImg2ImgCombinedPipeline
    with compile_only():  # no weight is read
        bare = pipeline.from_pretrained(multilingual_root / "decoder", **options)
    found = bare.compile(32, 64, guidance=(True, False))
    assert "MultilingualTextEncoder.encode" in {entry.program for entry in found}
    assert [entry.program for entry in found].count("UNet2DCondition prepare") == 2
    before = len(backend.compilations)
    pipe = pipeline.from_pretrained(multilingual_root / "decoder", **options)
    pipe.set_progress_bar_config(disable=True)
    for prompt, scale in zip(PROMPTS, (4.0, 1.0, 7.0, 0.5), strict=True):
        negative = {"negative_prompt": "low"} if scale > 4 else {}
        pipe(prompt, image=PICTURE, strength=0.9, **negative, guidance_scale=scale, **SIZE)
    assert backend.compilations[before:] == []
