"""The digest of source code: the same wherever the code lies, another one for other code."""

from __future__ import annotations

import os
from pathlib import Path

from kandinsky_backend_kit.source_digest import SourceDigest


def write(folder: Path, text: str = "a = 1\n") -> Path:
    (folder / "room").mkdir(parents=True)
    (folder / "room" / "a.py").write_text(text, encoding="utf-8")
    (folder / "b.py").write_text("", encoding="utf-8")
    (folder / "notes.txt").write_text("any", encoding="utf-8")
    return folder


def test_names_and_content_count_and_not_the_place(tmp_path: Path) -> None:
    first, copy = (write(tmp_path / place / "package") for place in ("x", "y"))
    value = SourceDigest([first]).value()
    assert value is not None
    assert SourceDigest([copy]).value() == value
    (copy / "notes.txt").write_text("other", encoding="utf-8")
    assert SourceDigest([copy]).value() == value
    (copy / "b.py").rename(copy / "c.py")
    assert SourceDigest([copy]).value() != value
    assert SourceDigest([write(tmp_path / "z" / "package", "a = 2\n")]).value() != value


def test_code_that_was_changed_meanwhile_has_none(tmp_path: Path) -> None:
    """The process runs what it has imported, which the file does not show any more."""
    folder = write(tmp_path / "package")
    digest = SourceDigest([folder])
    assert digest.value() is not None
    file = folder / "room" / "a.py"
    file.write_text("a = 3\n", encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert digest.value() is None
    file.unlink()
    assert digest.value() is None
    assert SourceDigest([tmp_path / "nowhere"]).value() is None
