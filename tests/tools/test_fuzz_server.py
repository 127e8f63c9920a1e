"""The fuzzer of a server: what it takes for a failure, and what it says without Schemathesis."""

from __future__ import annotations

from typing import Any

import pytest

from tools import fuzz_server


def test_what_counts_as_a_failure() -> None:
    found = fuzz_server.Findings()
    for status in (200, 400, 404, 429, 503, 504, 500, None):
        found.add(status, 0.5, lambda status=status: f"curl {status}")  # type: ignore[misc]
    assert found.failures == ["500: curl 500", "None: curl None"]
    assert found.statuses.total() == 8
    level = {"memory_mib": 300, "open_files": 8, "threads": 9}
    assert fuzz_server._judged(fuzz_server.Findings(), level, level) == []
    grown = {"memory_mib": 900, "open_files": 80, "threads": 9}
    problems = fuzz_server._judged(fuzz_server.Findings(), level, grown)
    assert problems == ["the process grew", "files stay open"]


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(fuzz_server, "find_spec", lambda _: None)
    assert fuzz_server.main(["--requests", "1"]) == 2
    assert 'pip install "schemathesis>=4"' in capsys.readouterr().err
