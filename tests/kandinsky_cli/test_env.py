"""`kandinsky env`: what it tells, what it hides, and that nothing broken stops it."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_cli import environment_facts
from kandinsky_cli.environment_facts import environment
from kandinsky_core.errors import BackendUnavailableError
from kandinsky_core.seam import registry
from tests.kandinsky_cli.run import Runner


class Backend:
    """Has a report and a cache, or fails to make them."""

    def __init__(self, folder: Path, error: Exception | None) -> None:
        self.cache_folder, self.error = folder, error

    def report(self) -> registry.BackendReport:
        if self.error is not None:
            raise self.error
        return registry.BackendReport(name="whole", available=True, versions={"whole": "1.0"})


@pytest.fixture(autouse=True)
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backend that works and one that does not; the compiled programs of the first."""
    folder = tmp_path / "programs"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "program").write_bytes(b"a" * 3000)
    (folder / "link").symlink_to(folder / "deeper" / "program")
    made = {"whole": None, "broken": RuntimeError("Unable to initialize backend 'cuda'")}
    monkeypatch.setattr(registry, "_registered", lambda: made)
    monkeypatch.setattr(registry, "_create", lambda error, **_: Backend(folder, error))
    monkeypatch.delenv("KANDINSKY_BACKEND", raising=False)
    return folder


def test_facts_as_json(kandinsky: Runner, backends: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code, output, error = kandinsky("env", "--json")
    assert (code, error) == (0, "")
    assert "hf_secret" not in output
    found = json.loads(output)
    assert found["versions"]["numpy"] == np.__version__
    assert found["system"]["python"].endswith(platform.python_version())
    assert found["processor"]["cores"] >= 1
    assert found["environment"]["JAX_PLATFORMS"] == "cuda"
    assert found["backends"]["whole"]["versions"] == {"whole": "1.0"}
    assert "backend 'cuda'" in found["backends"]["broken"]["problem"]
    caches = found["caches"]
    assert Path(caches["hub"]["place"]).name == "hub"
    assert caches["compiled_programs_whole"]["place"] == str(backends)
    assert caches["compiled_programs_whole"]["size"] == "2.9 KiB"


def test_facts_as_lines(kandinsky: Runner) -> None:
    code, output, _ = kandinsky("env")
    assert code == 0
    lines = output.splitlines()
    assert f"  numpy: {np.__version__}" in lines
    order = [lines.index(f"{name}:") for name in environment_facts.FACTS]
    assert order == sorted(order)
    assert any(line.startswith("    problem: Unable to initialize backend") for line in lines)


def test_a_fact_that_cannot_be_told_leaves_the_others(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise BackendUnavailableError("no\nfacts")

    monkeypatch.setattr(registry, "backend_reports", fail)
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", None)
    code, output, error = kandinsky("env", "--json")
    assert (code, error) == (0, "")
    found = json.loads(output)
    assert found["backends"] == "cannot be told (no facts)"
    assert found["caches"].startswith("cannot be told (")
    assert found["versions"]["numpy"]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("HF_TOKEN", "abc", "set, but not shown"),
        ("HUGGING_FACE_HUB_TOKEN", "abc", "set, but not shown"),
        ("JAX_API_KEY", "abc", "set, but not shown"),
        (
            "HF_ENDPOINT",
            "https://me:word@hub.example/a?sig=abc b",
            "https://...@hub.example/a?... b",
        ),
        ("https_proxy", "http://me@proxy:80", "http://...@proxy:80"),
        ("XLA_FLAGS", "--a=1 --b=2", "--a=1 --b=2"),
        ("KANDINSKY_BACKEND", "", ""),
        ("LD_LIBRARY_PATH", "/a:/b", "/a:/b"),
        ("AWS_REGION", "x", None),
        ("HOME", "/home/me", None),
        ("MSG", "x", None),
    ],
)
def test_variables(name: str, value: str, shown: str | None) -> None:
    assert environment({name: value}) == ({} if shown is None else {name: shown})


def test_another_system_than_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_facts, "_text_of", lambda _: "")
    for name in ("processor", "memory"):
        assert isinstance(environment_facts.FACTS[name](), dict)
