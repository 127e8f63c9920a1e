"""Work in a fork of a process that loaded models is refused at once; in threads it is fine."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from kandinsky_backend_kit import own_process
from kandinsky_backend_kit.own_process import in_own_process
from kandinsky_core.errors import BackendUnavailableError


def test_a_fork_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "_first", None)
    in_own_process()
    in_own_process()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(BackendUnavailableError, match=f"forked from process {parent}.*'spawn'"):
        in_own_process()


def test_a_fork_before_any_model_may_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "_first", None)
    monkeypatch.setattr(os, "getpid", lambda: 7)
    in_own_process()
    assert own_process._first == 7


def test_threads_belong_to_the_process() -> None:
    in_own_process()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(in_own_process).result()
