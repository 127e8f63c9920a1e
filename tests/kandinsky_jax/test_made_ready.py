"""Programs that a network ran last are ready when its weights are."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_jax.placement.devices import default_device  # noqa: E402
from kandinsky_jax.placement.places import OneDevice  # noqa: E402
from kandinsky_jax.programs import cache, made_ready  # noqa: E402
from kandinsky_jax.programs.kept_executables import KeptExecutable  # noqa: E402
from kandinsky_jax.programs.program import Program  # noqa: E402

ONE = np.arange(4, dtype=np.float32)


def scaled(factor: float, weights: Any, values: Any) -> Any:
    return weights["a"] * values * factor


@pytest.fixture
def place() -> OneDevice:
    return OneDevice(default_device())


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that load programs of a store of this test's own, in order."""
    found: list[str] = []
    load = KeptExecutable.load

    def noted(entry: KeptExecutable) -> Any:
        found.append(threading.current_thread().name)
        return load(entry)

    monkeypatch.setattr(KeptExecutable, "load", noted)
    monkeypatch.setattr("kandinsky_jax.programs.cache._folder", tmp_path)
    made_ready._ready.clear()
    return found


def call(factor: float, place: OneDevice) -> tuple[Any, bool]:
    """Run a program as a new process would, and say whether it was kept."""
    cache._store.cache_clear()
    log = CompilationLog()
    program = Program("p", functools.partial(scaled, factor), log, network="a network")
    return np.asarray(program(place, {"a": ONE}, ONE)), log[0].cached


def wait() -> None:
    """Wait until all programs are ready, as a process does that reads weights meanwhile."""
    for found in list(made_ready._ready.values()):
        found.result()


def test_the_next_process_makes_the_program_ready(loads: list[str], place: OneDevice) -> None:
    first, kept = call(2.0, place)
    assert not kept
    loads.clear()
    for other in ("another network", object()):  # which no description tells from others
        made_ready.make_ready(other, place)
    assert not made_ready._ready
    made_ready.make_ready("a network", place)
    wait()
    again, kept = call(2.0, place)
    assert kept
    assert len(loads) == 1
    assert loads[0].startswith("kandinsky-programs")
    np.testing.assert_array_equal(again, first)
    assert call(2.0, place)[1]  # it was given away, so this call loads it itself
    assert len(loads) == 2
    assert loads[1] == threading.current_thread().name


def test_few_programs_of_a_network_are_named_and_few_wait(
    loads: list[str], place: OneDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    for factor in range(6):
        call(float(factor), place)
    made_ready.make_ready("a network", place)
    assert len(made_ready._ready) == 4
    wait()
    loads.clear()
    for factor in (2.0, 3.0, 4.0, 5.0):  # the last four
        np.testing.assert_array_equal(call(factor, place)[0], factor * ONE**2)
    assert threading.current_thread().name not in loads
    monkeypatch.setattr(made_ready, "_WAITING", 3)
    made_ready.make_ready("a network", place)
    assert len(made_ready._ready) == 3


def test_a_program_behind_others_is_loaded_by_whoever_needs_it(
    loads: list[str], place: OneDevice
) -> None:
    first, _ = call(2.0, place)
    loads.clear()
    goes_on = threading.Event()
    made_ready._thread().submit(goes_on.wait, 20)  # seconds, where the test fails
    try:
        made_ready.make_ready("a network", place)
        again, kept = call(2.0, place)
    finally:
        goes_on.set()
    assert (kept, loads) == (True, [threading.current_thread().name])
    np.testing.assert_array_equal(again, first)


@pytest.mark.usefixtures("loads")
def test_what_is_ready_is_of_its_own_folder(
    place: OneDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(2.0, place)
    made_ready.make_ready("a network", place)
    monkeypatch.setattr("kandinsky_jax.programs.cache._folder", tmp_path / "other")
    assert not call(2.0, place)[1]


@pytest.mark.usefixtures("loads")
def test_a_program_that_is_gone_or_damaged_is_made_again(place: OneDevice, tmp_path: Path) -> None:
    first, _ = call(2.0, place)
    for path in (tmp_path / "kandinsky").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
        made_ready.make_ready("a network", place)
        np.testing.assert_array_equal(call(2.0, place)[0], first)
    for path in (tmp_path / "kandinsky").iterdir():
        content = path.read_bytes()
        path.unlink()
        made_ready.make_ready("a network", place)
        np.testing.assert_array_equal(call(2.0, place)[0], first)
        path.write_bytes(content)


@pytest.mark.usefixtures("loads")
def test_a_process_that_ends_does_not_wait_for_programs(
    place: OneDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(2.0, place)
    monkeypatch.setattr(made_ready, "_process_ends", lambda: True)
    made_ready.make_ready("a network", place)
    (found,) = made_ready._ready.values()
    assert found.result() is None
    assert call(2.0, place)[1]
