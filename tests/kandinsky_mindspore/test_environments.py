"""MindSpore set up by its user for other code: pictures are the same, and so is the setting."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_core import AutoPipelineForText2Image  # noqa: E402
from kandinsky_mindspore.runtime import LOCK  # noqa: E402


@pytest.fixture
def in_graph_mode() -> Iterator[None]:
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.mark.usefixtures("in_graph_mode")
def test_the_caller_s_mode_is_put_aside_and_comes_back() -> None:
    seen = []
    with contextlib.suppress(ZeroDivisionError), LOCK:
        with LOCK:
            seen.append(ms.get_context("mode"))
        seen.append(ms.get_context("mode"))
        raise ZeroDivisionError
    assert seen == [ms.PYNATIVE_MODE] * 2
    assert ms.get_context("mode") == ms.GRAPH_MODE


def picture(model: Path) -> Any:
    pipe = AutoPipelineForText2Image.from_pretrained(model, backend="mindspore")
    pipe.set_progress_bar_config(disable=True)
    steps = {"num_inference_steps": 1, "prior_num_inference_steps": 1}
    return pipe("a circle", height=16, width=16, seed=1, output_type="np", **steps).images


@pytest.mark.slow(seconds=10)
def test_graph_mode_of_the_caller_gives_the_same_picture(
    request: pytest.FixtureRequest, shallow: Path
) -> None:
    expected = picture(shallow)
    request.getfixturevalue("in_graph_mode")
    np.testing.assert_array_equal(picture(shallow), expected)
    assert ms.get_context("mode") == ms.GRAPH_MODE


@pytest.mark.slow(seconds=20)
def test_a_device_that_the_caller_failed_to_set_leaves_the_cpu() -> None:
    """MindSpore refuses the device in the caller's own line; what follows works all the same."""
    if ms.device_context.ascend.is_available():
        pytest.skip("there is one")
    body = """
        import mindspore as ms
        try:
            ms.set_context(device_target="Ascend")
        except (RuntimeError, ValueError):
            print("refused")
        from kandinsky_core import AutoPipelineForText2Image
        pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="mindspore")
        print(pipe.unet.device)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["refused", "cpu"], done.stderr


@pytest.mark.slow(seconds=15)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_a_process_with_a_model_is_refused_at_once() -> None:
    body = """
        import os, signal, sys, warnings
        from kandinsky_core import AutoPipelineForText2Image
        from kandinsky_core.errors import BackendUnavailableError
        warnings.simplefilter("ignore")
        pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="mindspore")
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            load = lambda: AutoPipelineForText2Image.from_pretrained("shapes", backend="mindspore")
            for use in (lambda: pipe("x"), lambda: pipe.to("float16"), load):
                try:
                    use()
                except BackendUnavailableError as error:
                    print(error, flush=True)
            os._exit(0)
        sys.exit(os.waitpid(child, 0)[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "was forked from process" in line]
    assert len(lines) == 3
