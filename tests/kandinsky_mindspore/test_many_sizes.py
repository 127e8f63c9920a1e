"""Compiled graphs and eager kernels are bounded, and MindSpore lets go of what is dropped."""

from __future__ import annotations

import contextlib
import logging
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from mindspore.common import api  # noqa: E402

from kandinsky_backend_kit import bounded_programs  # noqa: E402
from kandinsky_backend_kit.bounded_programs import PROGRAMS_VARIABLE, kept_programs  # noqa: E402
from kandinsky_core import AutoPipelineForText2Image  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_mindspore.components import network  # noqa: E402
from kandinsky_mindspore.placement.devices import select_device  # noqa: E402
from kandinsky_mindspore.programs import kernels  # noqa: E402
from kandinsky_mindspore.programs.graphs import free_dropped_graphs  # noqa: E402
from kandinsky_mindspore.programs.program import CompiledFunction  # noqa: E402
from kandinsky_mindspore.runtime import LOCK  # noqa: E402


def doubled(sample: Any, weights: Any) -> Any:
    return ms.ops.tanh(sample * 2) * weights


def test_six_sizes_with_room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_programs, "_entries", weakref.WeakSet())
    monkeypatch.setenv(PROGRAMS_VARIABLE, "2")
    with LOCK:
        select_device()
        free_dropped_graphs()
        others, log = len(api.ms_compile_cache), CompilationLog()
        run = CompiledFunction(doubled, "doubled", log, contextlib.nullcontext())
        weights = ms.Tensor(np.float32([0.5]))
        samples = [np.linspace(-1, 1, 2 + size, dtype=np.float32) for size in range(6)]
        results = []
        for sample in samples * 2:
            results.append(run(ms.Tensor(sample), weights).asnumpy().copy())
            assert len(kept_programs()) <= 2
            # The graph that was dropped for this one is freed at the next compilation.
            assert len(api.ms_compile_cache) - others <= 3
        run(ms.Tensor(samples[5]), weights)
        assert len(log) == 12, "the last size was there"
        for first, again in zip(results[:6], results[6:], strict=True):
            np.testing.assert_array_equal(first, again)
        del run
        free_dropped_graphs()
        assert len(api.ms_compile_cache) == others


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    calls: list[None] = []
    monkeypatch.setattr(kernels, "_free", lambda: calls.append(None))
    return calls


def test_eager_kernels_are_freed_by_number(
    freed: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, "3")
    known = kernels.EagerKernels()
    counts = []
    for shape in (1, 2, 3, 1, 2, 4, 4, 1, 2):
        known.meet(("UNet2DConditionModel", (shape,)))
        counts.append(len(freed))
    assert counts == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_eager_kernels_are_freed_by_memory(
    freed: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "memory_share", lambda: 100)
    known = kernels.EagerKernels()
    counts = []
    for shape, taken in enumerate((1000, 1100, 1101, 1200, 1202)):
        monkeypatch.setattr(kernels, "resident_memory", lambda taken=taken: taken)
        known.meet(shape)
        counts.append(len(freed))
    assert counts == [0, 0, 1, 1, 2]


@pytest.mark.slow(seconds=10)
def test_pictures_of_many_sizes_are_the_same_where_kernels_are_freed(
    shallow: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Kernels are freed between the steps of a run too; no result may change."""
    pipe = AutoPipelineForText2Image.from_pretrained(shallow, backend="mindspore")
    pipe.set_progress_bar_config(disable=True)

    def pictures() -> list[Any]:
        words = {"seed": 1, "num_inference_steps": 2, "prior_num_inference_steps": 2}
        return [
            pipe("a circle", height=side, width=16, output_type="np", **words).images
            for side in (16, 32, 16)
        ]

    expected = pictures()
    monkeypatch.setattr(network, "KERNELS", kernels.EagerKernels())
    monkeypatch.setenv(PROGRAMS_VARIABLE, "1")
    with caplog.at_level(logging.INFO, logger="kandinsky_core.compilations"):
        found = pictures()
    assert "dropped MindSpore's kernels" in caplog.text
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
