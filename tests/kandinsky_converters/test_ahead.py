"""Several threads work ahead: results come in order, memory is bounded, an error ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kandinsky_converters.layouts import ahead as module
from kandinsky_converters.layouts.ahead import ahead, usable_cores

NAMES = [f"tensor.{number}" for number in range(40)]
LARGE = module._SMALL + 1


def test_results_come_in_the_order_of_the_names_whichever_is_done_first() -> None:
    second_done = threading.Event()

    def work(name: str) -> str:
        if name == NAMES[0]:
            assert second_done.wait(10)
        if name == NAMES[1]:
            second_done.set()
        return name.upper()

    found = list(ahead(NAMES, lambda name: LARGE, work, threads=2))
    assert found == [(name, name.upper()) for name in NAMES]


def test_small_tensors_and_a_single_core_need_no_thread() -> None:
    here = threading.get_ident()

    def work(name: str) -> int:
        return threading.get_ident()

    for size, threads in ((module._SMALL, 4), (LARGE, 1)):
        found = ahead(NAMES, lambda name, size=size: size, work, threads=threads)
        assert {thread for _, thread in found} == {here}
    assert {thread for _, thread in ahead(NAMES, lambda name: LARGE, work, threads=2)} != {here}


def test_no_more_bytes_are_under_way_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES_AHEAD", 3 * LARGE)
    under_way: set[str] = set()
    counts: list[int] = []
    three = threading.Barrier(3)

    def work(name: str) -> None:
        under_way.add(name)
        if name in NAMES[:3]:
            three.wait(10)
        counts.append(len(under_way))
        under_way.remove(name)

    assert len(list(ahead(NAMES, lambda name: LARGE, work, threads=8))) == len(NAMES)
    assert max(counts) == 3


def failing_at(bad: str, begun: list[str]) -> Callable[[str], Any]:
    def work(name: str) -> str:
        begun.append(name)
        if name == bad:
            raise ValueError(name)
        return name

    return work


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_ends_the_work(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES_AHEAD", 2 * LARGE)
    begun: list[str] = []
    results = ahead(NAMES, lambda name: LARGE, failing_at(NAMES[3], begun), threads=threads)
    with pytest.raises(ValueError, match=r"tensor\.3"):
        list(results)
    assert len(begun) <= 6


def test_the_usable_cores_are_counted() -> None:
    assert usable_cores() >= 1
