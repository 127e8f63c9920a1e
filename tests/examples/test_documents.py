"""Every sample of five public documents runs, extracted from the documents themselves.

The documents are others' texts, so they are not in this repository. They are looked for in the
folder that KANDINSKY_SEED_DOCUMENTS names, or else in `shared/seeds` beside the repository. The
examples of this repository make the same calls, and run everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.examples.document_changes import GUIDE, MENDED, PAGES, changed
from tests.examples.small_hub import publish, save_depth_model, save_models
from tests.support.backends import needs
from tests.support.documents import Thread, samples, threads
from tests.support.fake_hub import FakeHub
from tests.support.picture_server import PictureServer

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("KANDINSKY_SEED_DOCUMENTS") or ROOT.parent / "shared" / "seeds")
FOUND = [name for name in PAGES if (FOLDER / name).is_file()]
THREADS = [(name, thread) for name in FOUND for thread in threads(FOLDER / name)]
# One of each family, as core decides in what they differ. Of 2.1 the shortest: its card's other
# tasks are on MindSpore in `test_kandinsky2_1.py`, and their numbers in the tests of parity.
ALSO_ON_MINDSPORE = (
    (GUIDE, "Text-to-image", "Kandinsky 2.1"),
    ("kandinsky-3-readme.md", "Kandinsky Flash", None),
    ("kandinsky-3-readme.md", "How to use", None),
    ("mindone-kandinsky-2-2.md", "", None),
)
SIDE = 64

pytestmark = pytest.mark.skipif(
    len(FOUND) < len(PAGES), reason="KANDINSKY_SEED_DOCUMENTS names no folder with the documents"
)


def on_mindspore(name: str, thread: Thread) -> bool:
    """Whether these samples run there too."""
    return any(
        (name, thread.tab) == (document, tab) and thread.section.startswith(section)
        for document, section, tab in ALSO_ON_MINDSPORE
    )


def test_all_samples_are_extracted_and_typed_by_some_reader() -> None:
    assert {name: len(samples(FOLDER / name)) for name in FOUND} == PAGES
    typed = {(name, sample) for name, thread in THREADS for sample in thread.samples}
    assert typed == {(name, sample) for name in FOUND for sample in samples(FOLDER / name)}


def test_every_fault_is_where_the_table_says() -> None:
    for mending in MENDED:
        assert any(
            mending.concerns(name, sample, thread.tab)
            for name, thread in THREADS
            for sample in thread.samples
        ), mending


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_model(tmp_path_factory.mktemp("depth"))


@pytest.fixture(scope="module")
def pictures() -> Iterator[str]:
    def picture(name: str, width: int = SIDE) -> Image.Image:
        with Image.open(ROOT / "examples" / "images" / f"{name}.png") as image:
            return image.convert("RGB").resize((width, SIDE))

    server = PictureServer(
        {
            "cat.png": picture("circle"),
            "sketch-mountains-input.jpg": picture("silhouette", 96),
            "starry_night.jpeg": picture("star"),
        }
    )
    yield server.url
    server.close()


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize(
    ("backend", "document", "thread"),
    [
        pytest.param(
            backend,
            name,
            thread,
            marks=needs(backend),
            id=f"{backend}-{name[:-3]}-{thread.section[:16]}-{thread.tab or 'all'}",
        )
        for name, thread in THREADS
        for backend in ("jax", *(["mindspore"] if on_mindspore(name, thread) else []))
    ],
)
def test_samples_run(
    backend: str,
    document: str,
    thread: Thread,
    models: Path,
    depth_model: Path,
    pictures: str,
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(hub, models)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KANDINSKY_BACKEND", backend)
    picture, mask = Image.new("RGB", (SIDE, SIDE), "red"), Image.new("L", (SIDE, SIDE))
    mask.paste(255, (8, 8, 40, 40))
    names: dict[str, Any] = {"__name__": "__main__", "DEPTH_MODEL": str(depth_model)}
    names |= {"IMAGE": picture, "MASK": mask, "MASK_ARRAY": np.asarray(mask) / 255, "mask": mask}
    for sample in thread.samples:
        code = changed(document, sample, thread.tab, {"pictures": pictures})
        where = f"{document}:{sample.line}"
        exec(compile(code, where, "exec"), names)
