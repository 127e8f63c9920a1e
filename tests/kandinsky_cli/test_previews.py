"""`--preview-every`, `--quiet` and `--verbose`: what a command shows while it works."""

from __future__ import annotations

import logging
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from kandinsky_cli import previews
from kandinsky_cli.commands import generate
from kandinsky_cli.repeat_command import command_for
from kandinsky_core import read_metadata
from tests.kandinsky_cli.run import Runner
from tests.support.fakes import combined_pipeline

FEW = ("--steps", "4", "--prior-steps", "2", "--seed", "3")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, Image.Image]]:
    """The previews as they are written, over pipelines of NumPy."""
    found: list[tuple[str, int, Image.Image]] = []

    def save(image: Image.Image, path: Path, metadata: Any) -> None:
        found.append((path.name, metadata["preview_after_steps"], image))
        previews_save(image, path, metadata)

    previews_save = previews.save_image
    monkeypatch.setattr(previews, "save_image", save)
    monkeypatch.setattr(generate, "load", lambda _: combined_pipeline())
    return found


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("words", "name", "steps"),
    [
        (["--preview-every", 1], "kandinsky.preview.png", [1, 2, 3, 4]),
        (["--preview-every", 3, "-o", "fox.jpg"], "fox.preview.jpg", [3]),
        (["--preview-every", 2, "--preview-file", "p/now.webp"], "now.webp", [2, 4]),
        (["--preview-every", 9], "kandinsky.preview.png", []),
    ],
)
def test_a_preview_after_every_so_many_steps(
    kandinsky: Runner, workplace: Path, written: Any, words: list[Any], name: str, steps: list[int]
) -> None:
    assert kandinsky("generate", "a", *FEW, *words)[0] == 0
    assert [(found, step) for found, step, _ in written] == [(name, step) for step in steps]
    assert len(list(workplace.rglob(name))) == bool(steps)


def test_pictures_of_a_batch_stand_side_by_side_and_are_small(
    kandinsky: Runner, workplace: Path, written: Any
) -> None:
    words = ["--preview-every", 4, "--height", 600, "--width", 300, "-n", 3]
    assert kandinsky("generate", "a", *FEW, *words)[0] == 0
    ((_, _, image),) = written
    assert image.size == (3 * 128, 256)


def test_no_file_of_the_user_becomes_a_preview(
    kandinsky: Runner, workplace: Path, written: Any
) -> None:
    (workplace / "a.preview.png").write_bytes(b"old")
    words = ["generate", "a", *FEW, "--preview-every", 4, "-o", "a.png", "--overwrite"]
    assert kandinsky(*words)[0] == 0
    assert names(workplace) == ["a.png", "a.preview-2.png", "a.preview.png"]
    assert (workplace / "a.preview.png").read_bytes() == b"old"
    code, _, error = kandinsky(*words[:-1], "--preview-file", "a.preview.png", "-o", "b.png")
    assert code == 2
    assert "--preview-file a.preview.png: there is such a file; give another name, or" in error


def test_a_preview_that_cannot_be_written_costs_no_picture(
    kandinsky: Runner, workplace: Path, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(previews, "save_image", full)
    code, output, error = kandinsky("generate", "a", *FEW, "--preview-every", 1, "-q")
    assert (code, output) == (0, "kandinsky-3.png\n")
    assert error.count("warning: --preview-file kandinsky.preview.png: No space left") == 1


@pytest.mark.parametrize("flag", ["--quiet", "--verbose", None])
def test_loudness(
    kandinsky: Runner, workplace: Path, monkeypatch: pytest.MonkeyPatch, flag: str | None
) -> None:
    """Of warnings and of the log; afterwards all is as it was before."""
    logger = logging.getLogger("kandinsky_core.compilations")

    def load(_: Any) -> Any:
        logger.warning("a warning")
        logger.info("compiled\x1b the unet")
        if flag == "--quiet":
            warnings.warn("a library warns", UserWarning, stacklevel=2)
        return combined_pipeline()

    monkeypatch.setattr(generate, "load", load)
    code, output, error = kandinsky("generate", "a", *FEW, *([flag] if flag else []))
    assert code == 0
    assert (output == "kandinsky-3.png\n") is (flag == "--quiet")
    assert ("a warning" in error, r"compiled\x1b the unet" in error) == (
        flag == "--verbose" or (flag is None and error != ""),
        flag == "--verbose",
    )
    assert ("loaded shapes in" in error) is (flag == "--verbose")
    assert logging.getLogger("kandinsky_core").level == logging.NOTSET
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.slow(seconds=20)
def test_prompts_and_previews_leave_each_picture_as_it_is_alone(
    kandinsky: Runner, workplace: Path, shallow: Path
) -> None:
    pytest.importorskip("jax")
    words = ["-p", "a blue star", "-p", "a red circle", "--model", shallow, *FEW]
    code, output, _ = kandinsky("generate", *words, "--preview-every", 2, "-q")
    assert (code, output) == (0, "kandinsky-1-3.png\nkandinsky-2-3.png\n")
    first, second = (pixels(workplace / name) for name in output.split())
    assert (first != second).any()
    preview = pixels(workplace / "kandinsky.preview.png")
    np.testing.assert_array_equal(preview, second)  # written after the last step
    again = shlex.split(str(command_for(read_metadata(workplace / "kandinsky-2-3.png"))))[1:]
    assert kandinsky(*again)[0] == 0
    np.testing.assert_array_equal(pixels(workplace / "kandinsky-3.png"), second)
