"""Two calls at once on a backend: the one that is stopped or fails leaves the other as it is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import AutoPipelineForText2Image
from tests.support.backends import BACKENDS

pytestmark = pytest.mark.slow(seconds=20)

ARGUMENTS: dict[str, Any] = {
    "prompt": "a red circle",
    "height": 32,
    "width": 32,
    "num_inference_steps": 4,
    "prior_num_inference_steps": 2,
    "output_type": "np",
    "seed": 5,
}


class OwnError(Exception):
    """What a callback of the test raises."""


@pytest.fixture(scope="module", params=BACKENDS)
def pipe(request: pytest.FixtureRequest, shallow: Path) -> Any:
    pipeline = AutoPipelineForText2Image.from_pretrained(
        shallow, backend=request.param, offload=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def alone(pipe: Any) -> Any:
    return pipe(**ARGUMENTS).images


def test_one_of_two_calls_is_stopped(pipe: Any, alone: Any) -> None:
    both = threading.Barrier(2, timeout=60)

    def call(stops: bool) -> Any:
        def callback(half: Any, index: int, timestep: int, values: Any) -> None:
            if index == 1:
                both.wait()
                if stops:
                    half.interrupt()
                both.wait()

        return pipe(**ARGUMENTS, callback_on_step_end=callback)

    with ThreadPoolExecutor(2) as pool:
        stopped, other = pool.map(call, (True, False))
    assert stopped.interrupted == stopped.metadata[0]["interrupted"] == {"steps": 2, "of": 4}
    assert other.interrupted is None
    np.testing.assert_array_equal(other.images, alone)
    assert np.abs(stopped.images - alone).max() > 0.01


@pytest.mark.parametrize("half", ["prior_callback_on_step_end", "callback_on_step_end"])
def test_a_callback_that_raises_leaves_the_pipeline_usable(
    pipe: Any, alone: Any, half: str
) -> None:
    def callback(*_: Any) -> None:
        raise OwnError

    with pytest.raises(OwnError) as caught:
        pipe(**ARGUMENTS, **{half: callback})
    # The traceback still holds the run that has failed, and with it its turn on the device.
    np.testing.assert_array_equal(pipe(**ARGUMENTS).images, alone)
    del caught


def test_wrong_latents_reach_no_backend(pipe: Any, alone: Any) -> None:
    for wrong in (np.zeros((1, 4, 3, 3)), np.full((1, 4, 8, 8), np.nan)):
        with pytest.raises(ValueError, match=r"callback_on_step_end .* returned latents"):
            pipe(**ARGUMENTS, callback_on_step_end=lambda *_, w=wrong: {"latents": w})
    np.testing.assert_array_equal(pipe(**ARGUMENTS).images, alone)
