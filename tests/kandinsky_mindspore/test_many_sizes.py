"""Compiled graphs are bounded, and MindSpore lets go of those that are dropped."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from mindspore.common import api  # noqa: E402

from kandinsky_backend_kit import bounded_programs  # noqa: E402
from kandinsky_backend_kit.bounded_programs import PROGRAMS_VARIABLE, kept_programs  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_mindspore.placement.devices import select_device  # noqa: E402
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
