"""How often one call goes the same way: one backend, each name, JSON file and header once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import (
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    KandinskyV22PriorPipeline,
)
from kandinsky_core.checkpoints import hub as hub_module
from kandinsky_core.checkpoints import json_files, safetensors_files
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.seam import registry
from tests.kandinsky_cli.run import runner
from tests.support.backends import needs
from tests.support.fake_backend import FakeBackend
from tests.support.fake_hub import FakeHub
from tests.support.kandinsky3_folder import write_kandinsky3

SHAPES = EMBEDDED["shapes"]
ANOTHER = "another"


@dataclass
class Trips:
    """What was done, and how often.

    Attributes:
        backends: Backend objects made, by name.
        names: Models resolved, by name and part.
        json: JSON files read.
        headers: Headers of weight files read.
    """

    backends: Counter[str] = field(default_factory=Counter)
    names: Counter[tuple[str, str]] = field(default_factory=Counter)
    json: Counter[Path] = field(default_factory=Counter)
    headers: Counter[Path] = field(default_factory=Counter)

    def check_single(self, *folders: Path) -> None:
        """All that was done was done once; of these folders everything was read."""
        for counter in (self.backends, self.names, self.json, self.headers):
            assert set(counter.values()) <= {1}, counter
        indexed = {path for folder in folders for path in folder.rglob("*config.json")}
        weights = {path for folder in folders for path in folder.rglob("*.safetensors")}
        assert indexed <= set(self.json)
        assert weights == set(self.headers)
        assert indexed
        assert weights


def counted(
    monkeypatch: pytest.MonkeyPatch, home: Any, name: str, note: Callable[..., Any]
) -> None:
    """Have `note` called before a function, in every module that has imported it."""
    real = getattr(home, name)

    def call(*arguments: Any, **options: Any) -> Any:
        note(*arguments)
        return real(*arguments, **options)

    for module in list(sys.modules.values()):
        if vars(module).get(name) is real:
            monkeypatch.setattr(module, name, call)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trips]:
    """Count; `jax` and another backend are fakes."""
    found = Trips()
    monkeypatch.delenv("KANDINSKY_BACKEND", raising=False)
    target = f"{FakeBackend.__module__}:{FakeBackend.__name__}"
    points = [EntryPoint(name, target, "") for name in ("jax", ANOTHER)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    count(monkeypatch, found)
    bypassed: Counter[Path] = Counter()
    read_text = Path.read_text

    def read(path: Path, *arguments: Any, **options: Any) -> str:
        if path.suffix == ".json":
            bypassed[path] += 1
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read)
    yield found
    assert bypassed == found.json  # none is read by another function


def count(monkeypatch: pytest.MonkeyPatch, found: Trips) -> None:
    """Fill the counters from now on."""

    def resolved(name: Any, part: str, *_: Any) -> None:
        found.names[str(name), part] += 1

    counted(monkeypatch, registry, "_create", lambda point: found.backends.update([point.name]))
    counted(monkeypatch, hub_module, "resolve_model", resolved)
    counted(monkeypatch, json_files, "load_json", lambda path: found.json.update([path]))
    counted(
        monkeypatch, safetensors_files, "_read_header", lambda path: found.headers.update([path])
    )


def test_generate(trips: Trips, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["generate", "a circle", "--backend", "jax", "--output", tmp_path / "circle.png"]
    sizes = ["--steps", 1, "--prior-steps", 1, "--height", 32, "--width", 32]
    code, _, error = runner(capsys)(*words, *sizes)
    assert (code, error) == (0, "")
    assert (tmp_path / "circle.png").is_file()
    assert trips.backends == {"jax": 1}
    assert trips.names == {("shapes", "decoder"): 1, (str(SHAPES / "prior"), "prior"): 1}
    trips.check_single(SHAPES / "prior", SHAPES / "decoder")
    assert len(trips.json) == 12


def test_inpainting(trips: Trips) -> None:
    AutoPipelineForInpainting.from_pretrained("shapes")
    assert trips.backends == {"jax": 1}
    assert trips.names == {("shapes", "inpaint"): 1, (str(SHAPES / "prior"), "prior"): 1}
    trips.check_single(SHAPES / "prior", SHAPES / "inpaint")


def test_a_single_half(trips: Trips) -> None:
    KandinskyV22PriorPipeline.from_pretrained("shapes")
    assert trips.names == {("shapes", "prior"): 1}
    trips.check_single(SHAPES / "prior")


def test_the_pipeline_that_the_checkpoint_names(trips: Trips) -> None:
    """That it is a prior is seen when its folder is open already."""
    folder = SHAPES / "prior"
    pipeline = DiffusionPipeline.from_pretrained(folder)
    assert isinstance(pipeline, KandinskyV22PriorPipeline)
    assert sum(trips.names.values()) == 1
    trips.check_single(folder)


@pytest.mark.parametrize("loading", ["on_demand", "resident", "streamed"])
def test_kandinsky_3(trips: Trips, tmp_path: Path, loading: str) -> None:
    folder = write_kandinsky3(tmp_path / "kandinsky-3")
    pipeline = AutoPipelineForText2Image.from_pretrained(
        folder, tokenizer=None, text_encoder_loading=loading
    )
    for text in (1, 2):  # each of them loads the text encoder where that is done on demand
        ids = np.full((1, 4), text, np.int32)
        pipeline.text_encoder.encode(ids, np.ones((1, 4), bool))
    assert trips.backends == {"jax": 1}
    assert trips.names == {(str(folder), "decoder"): 1}
    trips.check_single(folder)


def test_info_with_memory(trips: Trips, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, error = runner(capsys)("info", "shapes", "--backend", "jax")
    assert (code, error) == (0, "")
    assert "fits" in output
    weights = set(SHAPES.rglob("*.safetensors"))
    assert trips.headers == dict.fromkeys(weights, 1)
    assert trips.json == dict.fromkeys(SHAPES.rglob("model_index.json"), 1)
    assert set(trips.names.values()) == {1}


def test_verify(trips: Trips, capsys: pytest.CaptureFixture[str]) -> None:
    """Both halves are opened once for all backends."""
    words = ["verify", "--backends", f"jax,{ANOTHER}", "--against", "jax", "--steps", 1]
    code, output, error = runner(capsys)(*words, "--height", 32, "--width", 32)
    assert (code, error) == (0, "")
    assert "all within tolerance" in output
    assert trips.backends == {"jax": 1, ANOTHER: 1}
    assert trips.names == {("shapes", "decoder"): 1, (str(SHAPES / "prior"), "prior"): 1}
    assert set(trips.headers.values()) == {1}


def test_convert(trips: Trips, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["convert", SHAPES / "prior", "--to", "jax", "--output", tmp_path / "converted"]
    code, _, error = runner(capsys)(*words)
    assert (code, error) == (0, "")
    assert trips.names == {(str(SHAPES / "prior"), "decoder"): 1}
    assert set(trips.json.values()) == {1}
    assert trips.headers == dict.fromkeys((SHAPES / "prior").rglob("*.safetensors"), 1)


def test_from_a_hub(trips: Trips, hub: FakeHub, model: Path, tmp_path: Path) -> None:
    """Of each half the index is asked for, then the components, of the same commit."""
    card = model / "decoder/README.md"
    card.write_text("---\nprior: owner/prior\n---\n", encoding="utf-8")
    hub.add("owner/decoder", model / "decoder")
    hub.add("owner/prior", model / "prior")
    AutoPipelineForText2Image.from_pretrained("owner/decoder", cache_dir=tmp_path / "cache")
    assert trips.names == {("owner/decoder", "decoder"): 1, ("owner/prior", "prior"): 1}
    assert set(trips.json.values()) == set(trips.headers.values()) == {1}
    for repository in ("owner/decoder", "owner/prior"):
        asked = [line for line in hub.requests if line.startswith(f"GET /api/models/{repository}/")]
        revisions = [line.rpartition("/")[2] for line in asked if "/revision/" in line]
        assert revisions == ["main", hub.commit(repository, "main")]


@needs("jax")
def test_a_real_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Trips()
    from kandinsky_jax import backend

    made = Counter[str]()
    real = backend.JaxBackend.__init__

    def init(self: Any, **options: Any) -> None:
        made["jax"] += 1
        real(self, **options)

    monkeypatch.setattr(backend.JaxBackend, "__init__", init)
    count(monkeypatch, found)
    AutoPipelineForText2Image.from_pretrained("shapes", backend="jax", device="cpu")
    assert made == {"jax": 1}
    found.check_single(SHAPES / "prior", SHAPES / "decoder")
