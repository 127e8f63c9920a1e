"""A process keeps a bounded number of programs; those used longest ago are dropped and freed."""

from __future__ import annotations

import gc
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from kandinsky_backend_kit import bounded_programs
from kandinsky_backend_kit.bounded_programs import (
    PROGRAMS_VARIABLE,
    BoundedPrograms,
    kept_programs,
    make_room,
    program_limit,
)
from kandinsky_backend_kit.memory_mappings import Mappings
from kandinsky_core.errors import DeviceMemoryError, InvalidInputError
from kandinsky_core.seam.backend import DeviceMemory


class Compiled:
    """Stands for a compiled program."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of other tests in this process do not count, nor does this machine's memory."""
    monkeypatch.setattr(bounded_programs, "_entries", weakref.WeakSet())
    monkeypatch.setattr(bounded_programs, "memory_mappings", lambda: None)
    monkeypatch.setattr(bounded_programs, "host_memory", lambda: None)


def host(total: int) -> DeviceMemory:
    return DeviceMemory(device="cpu", total=total, free=None, host=True, filled_by_load=False)


def test_programs_used_longest_ago_go_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, "3")
    one, other = BoundedPrograms[Compiled](), BoundedPrograms[Compiled]()
    for owner, name in ((one, "a"), (other, "b"), (one, "c")):
        owner.add(name, Compiled(), name)
    assert one.get("a") is not None
    with caplog.at_level(logging.INFO, logger="kandinsky_core.compilations"):
        other.add("d", Compiled(), "d")
    assert kept_programs() == ["c", "a", "d"]
    assert other.get("b") is None
    assert caplog.messages == [
        "dropped b, the program used longest ago, as KANDINSKY_MAX_PROGRAMS allows 3 programs"
    ]


def test_any_order_of_use_keeps_the_bound_and_the_program_used_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, "4")
    owners = [BoundedPrograms[int]() for _ in range(3)]
    recent: list[str] = []
    for number in np.random.default_rng(0).integers(0, 30, 500).tolist():
        owner = owners[number % 3]
        found = owner.get(number)
        assert (found is not None) == (str(number) in recent), number
        if found is None:
            make_room()
            owner.add(number, number, str(number))
        recent = [*(name for name in recent if name != str(number)), str(number)][-4:]
        assert kept_programs() == recent


def test_a_dropped_program_is_freed_and_a_running_call_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, "1")
    owner = BoundedPrograms[Compiled]()
    owner.add("a", Compiled(), "a")
    running = owner.get("a")
    alive = weakref.ref(running)  # type: ignore[type-var]
    gc.disable()
    try:
        owner.add("b", Compiled(), "b")
        assert alive() is running
        del running
        assert alive() is None, "freed without the garbage collector"
        (second,) = owner
        alive = weakref.ref(second)
        del second, owner
        assert alive() is None, "freed with its owner"
    finally:
        gc.enable()
    assert kept_programs() == []


def test_mappings_are_kept_below_half_of_what_linux_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = BoundedPrograms[Compiled]()

    def mappings() -> Mappings:
        return Mappings(taken=100 + 100 * len(list(owner)), allowed=1000)

    monkeypatch.setattr(bounded_programs, "memory_mappings", mappings)
    for name in "abcdefgh":
        make_room()
        owner.add(name, Compiled(), name)
        assert mappings().taken <= 600
    assert kept_programs() == ["d", "e", "f", "g", "h"]


def test_without_mappings_it_says_so_and_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = BoundedPrograms[Compiled]()
    owner.add("a", Compiled(), "a")
    monkeypatch.setattr(bounded_programs, "memory_mappings", lambda: Mappings(950, 1000))
    with pytest.raises(DeviceMemoryError, match=r"950 of the 1000 .* vm\.max_map_count"):
        make_room()


def test_programs_of_known_size_take_a_quarter_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_programs, "host_memory", lambda: host(400))
    owner = BoundedPrograms[Compiled]()
    for name in "abc":
        owner.add(name, Compiled(), name, size=50)
    make_room()
    assert kept_programs() == ["b", "c"]


def test_threads_keep_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, "5")
    owner = BoundedPrograms[int]()

    def work(start: int) -> None:
        for number in range(start, start + 100):
            make_room()
            owner.add(number, number, str(number))
            assert owner.get(number) in (number, None)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(0, 400, 100)))
    assert len(kept_programs()) == len(list(owner)) == 5


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "٣", "9" * 10])
def test_a_wrong_limit_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, text)
    with pytest.raises(InvalidInputError, match=r"KANDINSKY_MAX_PROGRAMS=.* a whole number from 1"):
        program_limit()


@pytest.mark.parametrize(("text", "limit"), [("", 256), (" 7 ", 7)])
def test_limits(text: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAMS_VARIABLE, text)
    assert program_limit() == limit


def test_mappings_of_this_process_are_counted() -> None:
    from kandinsky_backend_kit.memory_mappings import memory_mappings

    found: Any = memory_mappings()
    assert found is None or 10 < found.taken < found.allowed
