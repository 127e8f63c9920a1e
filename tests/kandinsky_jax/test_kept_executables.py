"""Compiled programs that are kept: found before anything is traced, and never the wrong one."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core import AutoPipelineForText2Image, get_backend  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_jax.placement.devices import default_device  # noqa: E402
from kandinsky_jax.placement.places import OneDevice  # noqa: E402
from kandinsky_jax.programs import cache, kept_executables  # noqa: E402
from kandinsky_jax.programs.program import Program  # noqa: E402
from kandinsky_jax.programs.surroundings import TRACED_ROOMS  # noqa: E402

ONE = np.arange(4, dtype=np.float32)
OTHER = np.full(4, 7, np.float32)
TRACE, COMPILE = "jaxpr_trace_duration", "backend_compile_duration"


def scaled(factor: float, weights: Any, values: Any) -> Any:
    return weights["a"] * values * factor


def chosen(name: str, weights: Any, *values: Any) -> Any:
    return weights[name] + 1


def signs(weights: Any, values: Any) -> Any:
    return jax.numpy.where(values > weights["a"], 1.0, -1.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("kandinsky_jax.programs.cache._folder", tmp_path)
    return tmp_path / "kandinsky"


@pytest.fixture
def events() -> Iterator[list[str]]:
    """What JAX traces and compiles, as it reports it itself."""
    found: list[str] = []
    listening = True  # JAX has no public way to take a listener back

    def listen(event: str, _: float, **__: Any) -> None:
        if listening and event.startswith("/jax/core/compile/"):
            found.append(event.rpartition("/")[2])

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    listening = False


def call(function: Callable[..., Any] | None = None, **options: Any) -> tuple[Any, bool]:
    """Run a program as a new process would, and say whether it was kept."""
    cache._store.cache_clear()
    log = CompilationLog()
    program = Program("p", function or functools.partial(scaled, 2.0), log, **options)
    found = program(OneDevice(default_device()), {"a": ONE, "b": OTHER}, ONE)
    return np.asarray(found), log[0].cached


def entries(folder: Path) -> list[Path]:
    """The small entries first: those that name the machine code."""
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_size)


@pytest.mark.usefixtures("folder")
def test_a_kept_program_is_neither_traced_nor_compiled(events: list[str]) -> None:
    first, kept = call()
    assert (kept, COMPILE in events) == (False, True)
    events.clear()
    again, kept = call()
    assert (kept, events) == (True, [])
    np.testing.assert_array_equal(again, first)
    other, kept = call(functools.partial(scaled, 3.0))
    assert not kept
    np.testing.assert_array_equal(other, 3 * ONE**2)


def test_the_same_code_of_another_version_is_traced_and_not_compiled(
    folder: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = call()
    monkeypatch.setattr(kept_executables, "sources", lambda: b"another version")
    events.clear()
    again, kept = call()
    assert (kept, TRACE in events, COMPILE in events) == (True, True, False)
    np.testing.assert_array_equal(again, first)
    assert len(entries(folder)) == 3
    events.clear()
    assert (call()[1], events) == (True, [])


@pytest.mark.usefixtures("folder")
def test_what_was_compiled_ahead_is_kept_for_results_of_any_type() -> None:
    """A result of Python's numbers has a weak type, which its shape does not tell."""
    batch, weights = OneDevice(default_device()), {"a": ONE, "b": OTHER}
    first = Program("p", signs, CompilationLog())
    shapes = first.shapes(batch, weights, ONE)
    Program("q", functools.partial(scaled, 2.0), CompilationLog()).shapes(batch, weights, shapes)
    cache._store.cache_clear()
    log = CompilationLog()
    second = Program("q", functools.partial(scaled, 2.0), log)
    second(batch, weights, first(batch, weights, ONE))
    assert [entry.cached for entry in log] == [True]


@pytest.mark.usefixtures("folder")
def test_arguments_that_are_not_used_are_told_apart() -> None:
    """The code that is traced is the same in both, and its only argument is another one."""
    for _ in range(2):
        np.testing.assert_array_equal(call(functools.partial(chosen, "a"))[0], ONE + 1)
        np.testing.assert_array_equal(call(functools.partial(chosen, "b"))[0], OTHER + 1)


@pytest.mark.parametrize("entry", [0, 1])
def test_damaged_entries_are_made_again(
    entry: int, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = call()
    whole = entries(folder)[entry].read_bytes()
    damaged = [whole[: len(whole) // 2], whole[:40] + bytes([whole[40] ^ 4]) + whole[41:], b""]
    damaged.append(whole[:-1] + bytes([whole[-1] ^ 128]))
    for content in damaged:
        path = entries(folder)[entry]
        path.write_bytes(content)
        caplog.clear()
        again, kept = call()
        np.testing.assert_array_equal(again, first)
        assert len(caplog.messages) == 1
        assert kept == (entry == 0), "the machine code of the traced code is there, or not"
        assert call()[1]
    assert len(entries(folder)) == 2


@pytest.mark.parametrize(
    "content", [b"", b"no pickle", bytes(32), bytes(32) + pickle.dumps((1, 2))]
)
def test_whole_entries_that_hold_something_else_are_made_again(
    content: bytes, folder: Path
) -> None:
    """A version of JAX that cannot load what another one wrote, for example."""
    first, _ = call()
    for path in entries(folder):
        store = cache.program_store()
        assert store is not None
        store.put(bytes.fromhex(path.stem), content)
    again, kept = call()
    assert not kept
    np.testing.assert_array_equal(again, first)
    assert call()[1]


def test_a_function_with_a_closure_is_not_kept(folder: Path) -> None:
    factor = 2.0

    def closed(weights: Any, values: Any) -> Any:
        return weights["a"] * values * factor

    for factor in (2.0, 3.0):
        found, kept = call(closed)
        assert not kept
        np.testing.assert_array_equal(found, factor * ONE**2)
    assert not folder.exists()


def test_without_a_digest_of_the_source_nothing_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file was edited while the process runs, nobody knows which code was traced."""
    monkeypatch.setattr(kept_executables, "sources", lambda: None)
    assert [call()[1] for _ in range(2)] == [False, False]
    assert not folder.exists()


@pytest.mark.parametrize(
    "place", ["layers.attention.attend", "networks.unet.silu", "layers.layers.Conv.__call__"]
)
def test_with_somebody_elses_function_nothing_is_kept(
    place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is not in the key. Once it is gone, programs are kept again."""

    with monkeypatch.context() as patch:
        patch.setattr(f"kandinsky_jax.{place}", lambda *values: values)
        assert [call()[1] for _ in range(2)] == [False, False]
        assert not folder.exists()
    assert [call()[1] for _ in range(2)] == [False, True]


def test_donated_arguments_are_still_donated(folder: Path) -> None:
    for _ in range(2):
        given = jax.device_put(ONE + 1, default_device())
        program = Program("p", functools.partial(scaled, 1.0), CompilationLog(), donate=(1,))
        weights = {"a": jax.device_put(ONE, default_device())}
        found = program(OneDevice(default_device()), weights, given)
        np.testing.assert_array_equal(np.asarray(found), ONE * (ONE + 1))
        assert given.is_deleted()
    assert len(entries(folder)) == 2


@pytest.mark.slow(seconds=5)
def test_all_code_that_is_traced_is_in_the_digest(
    shallow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a program would be found by the key of other code. All programs have a key, too."""
    traced: set[Path] = set()
    kept = []
    make = Program._make

    def look(frame: Any, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and "/kandinsky_" in file and file != __file__:
            traced.add(Path(file))

    def watched(program: Program, batch: Any, weights: Any, arguments: Any) -> Any:
        made_from = (program._name, program._function)
        kept.append(kept_executables.kept_executable(batch, made_from, (weights, *arguments)))
        sys.setprofile(look)
        try:
            jax.eval_shape(program._function, weights, *arguments)
        finally:
            sys.setprofile(None)
        return make(program, batch, weights, arguments)

    monkeypatch.setattr(Program, "_make", watched)
    pipe = AutoPipelineForText2Image.from_pretrained(shallow, backend=get_backend("jax"))
    pipe.compile(16, 16)
    assert len(kept) > 6
    assert all(kept)
    names = {path.name for path in traced}
    assert names >= {"unet.py", "prior.py", "movq.py", "attention.py", "guided_step.py"}
    assert names >= {"schedule.py", "network_form.py"}
    outside = [path for path in traced if not any(map(path.is_relative_to, TRACED_ROOMS))]
    assert outside == []
