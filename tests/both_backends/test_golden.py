"""The pictures that PyTorch diffusers made of the embedded model, kept in a file.

Runs where PyTorch is not installed; `python -m tools.golden tests/data/golden.npz` made the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import AutoPipelineForText2Image
from tests.support.tolerances import allowed

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "golden.npz")
REQUESTS: list[dict[str, Any]] = json.loads(str(GOLDEN["requests"]))
TOLERANCE = allowed("golden picture")


@pytest.fixture(scope="module")
def pipe() -> Any:
    pipeline = AutoPipelineForText2Image.from_pretrained("shapes")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_same_picture_as_diffusers(pipe: Any, number: int) -> None:
    expected = GOLDEN[f"picture_{number}"].astype(np.float32)
    images = pipe(**REQUESTS[number], output_type="np").images
    assert images.shape == expected.shape
    assert np.abs(images - expected).max() <= TOLERANCE
