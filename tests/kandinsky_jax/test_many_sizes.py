"""A process that meets many sizes keeps a bounded number of programs, and the same results."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_backend_kit import bounded_programs  # noqa: E402
from kandinsky_backend_kit.bounded_programs import PROGRAMS_VARIABLE, kept_programs  # noqa: E402
from kandinsky_backend_kit.memory_mappings import memory_mappings  # noqa: E402
from kandinsky_core import KandinskyV22Pipeline, get_backend  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_jax.placement.devices import default_device  # noqa: E402
from kandinsky_jax.placement.places import OneDevice  # noqa: E402
from kandinsky_jax.programs.program import Program  # noqa: E402


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of other tests in this process do not count."""
    monkeypatch.setattr(bounded_programs, "_entries", weakref.WeakSet())


def chain(weights: Any, x: Any) -> Any:
    for _ in range(6):
        x = jax.numpy.tanh(x @ weights) + jax.nn.softmax(x)
    return x


def test_six_sizes_with_room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that was dropped is compiled again, logged, and gives the same numbers."""
    monkeypatch.setenv(PROGRAMS_VARIABLE, "3")
    log, batch = CompilationLog(), OneDevice(default_device())
    program = Program("chain", chain, log)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 4), np.float32)
    inputs = [rng.standard_normal((rows, 4), np.float32) for rows in range(1, 7)]
    results = []
    for x in inputs * 2:
        results.append(np.asarray(program(batch, weights, x)))
        assert len(kept_programs()) <= 3
    assert kept_programs() == [f"chain for shape ({rows}, 4)" for rows in (4, 5, 6)]
    assert len(log) == 12
    for first, again in zip(results[:6], results[6:], strict=True):
        np.testing.assert_array_equal(first, again)


def test_dropped_programs_free_their_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX itself keeps all programs of a function; ours is another function for each program."""
    monkeypatch.setenv(PROGRAMS_VARIABLE, "2")
    before = memory_mappings()
    if before is None:
        pytest.skip("this system does not count mappings")
    batch, weights = OneDevice(default_device()), np.eye(4, dtype=np.float32)
    program = Program("chain", chain, CompilationLog())
    taken = []
    for rows in range(1, 11):
        program(batch, weights, np.ones((rows, 4), np.float32)).block_until_ready()
        found = memory_mappings()
        assert found is not None
        taken.append(found.taken)
    each = taken[0] - before.taken
    assert taken[-1] - taken[1] < max(20, 3 * each), taken


@pytest.mark.slow
def test_pictures_of_two_sizes_with_room_for_one_program(
    shallow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeds = np.ones((1, 96), np.float32)

    def pictures() -> list[Any]:
        pipe = KandinskyV22Pipeline.from_pretrained(shallow, backend=get_backend("jax"))
        pipe.set_progress_bar_config(disable=True)
        words = {"num_inference_steps": 2, "output_type": "np", "seed": 0}
        made = []
        for height, width in [(16, 16), (16, 32)] * 2:
            made.append(pipe(embeds, embeds, height=height, width=width, **words).images)
            assert len(kept_programs()) <= bounded_programs.program_limit()
        return made

    everything = pictures()
    monkeypatch.setenv(PROGRAMS_VARIABLE, "1")
    for one, other in zip(everything, pictures(), strict=True):
        np.testing.assert_array_equal(one, other)
