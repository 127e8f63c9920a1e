"""`kandinsky models`: what is embedded, in the cache, and published."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from kandinsky_cli.published_models import PUBLISHED
from kandinsky_core.checkpoints.hub import EMBEDDED
from tests.kandinsky_cli.run import Runner
from tools.published import PUBLISHED as COMPONENTS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at the first question to anybody, the loopback interface included."""

    def connect(*_: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with a model of the family, an unknown one of its kind, a stranger and a data set."""
    folder = tmp_path / "hub"
    folder.mkdir()
    _add(folder, "models--kandinsky-community--kandinsky-3", "{", 4000)
    _add(folder, "models--me--mine", '{"_class_name": "KandinskyV22Pipeline"}', 100)
    _add(folder, "models--other--network", '{"_class_name": "StableDiffusionPipeline"}', 50)
    _add(folder, "datasets--a--b", "{}", 2)
    return folder


def _add(folder: Path, name: str, index: str, size: int) -> None:
    repo = folder / name
    for part in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (repo / part).mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    for file, content in (("model_index.json", index), ("weights", "a" * size)):
        (repo / "blobs" / file).write_text(content)
        (repo / "snapshots" / COMMIT / file).symlink_to(f"../../blobs/{file}")


def test_models_as_json(kandinsky: Runner, cache: Path) -> None:
    code, output, error = kandinsky("models", "--json", "--cache", cache)
    assert (code, error) == (0, "")
    found = json.loads(output)
    (shapes,) = found["embedded"]
    files = [path.stat().st_size for path in EMBEDDED["shapes"].rglob("*") if path.is_file()]
    assert shapes == {"model": "shapes", "bytes": sum(files), "licence": "Apache-2.0"}
    third, mine = found["cached"]["models"]
    revision = {"revision": COMMIT, "refs": ["main"], "bytes": 4001}
    assert third == {
        "model": "kandinsky-community/kandinsky-3",
        "bytes": 4001,
        "revisions": [revision],
    }
    assert mine["model"] == "me/mine"
    assert found["cached"]["others"]["count"] == 2
    assert [entry["model"] for entry in found["published"] if entry["cached"]] == [third["model"]]


def test_models_as_lines(kandinsky: Runner, cache: Path) -> None:
    (cache / "models--bad\x1b--name").mkdir()
    code, output, error = kandinsky("models", "--cache", cache)
    assert code == 0
    assert "\x1b" not in output + error
    assert error.startswith("kandinsky models: warning: ")
    lines = output.splitlines()
    assert f"    revision {COMMIT[:10]} (main)  3.9 KiB" in lines
    assert any(line.startswith("  kandinsky-community/kandinsky-3  28.4 GB") for line in lines)
    assert sum("in the cache" in line for line in lines) == 2  # the heading and that model


def test_without_a_cache(kandinsky: Runner, tmp_path: Path) -> None:
    os.makedirs(os.environ["HF_HOME"], exist_ok=True)  # noqa: PTH103
    code, output, error = kandinsky("models")
    assert (code, error) == (0, "")
    assert "  none of the family" in output.splitlines()
    code, output, error = kandinsky("models", "--cache", tmp_path / "none")
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert "there is no such folder" in error
    (tmp_path / "file").write_text("")
    code, _, error = kandinsky("models", "--cache", tmp_path / "file")
    assert code == 2
    assert "is no cache of huggingface_hub" in error


def test_sizes_of_the_table_are_those_of_the_published_files() -> None:
    sizes: dict[str, float] = {}
    for name, component in COMPONENTS.items():
        repo = name.partition("/")[0]
        if component.bytes is not None:
            sizes[repo] = sizes.get(repo, 0) + component.bytes
    table = {entry.model.partition("/")[2]: entry.gigabytes for entry in PUBLISHED}
    assert table["kandinsky-2-2-prior"] == round(sizes["kandinsky-2-2-prior"] / 1e9, 1)
    assert table["kandinsky-2-1-prior"] == round(sizes["kandinsky-2-1-prior"] / 1e9, 1)
    assert table["kandinsky-2-1"] == round(sizes["kandinsky-2-1"] / 1e9, 1)
    assert table["kandinsky-2-2-decoder"] == round(sizes["kandinsky-2-2-decoder"] / 1e9, 1)
