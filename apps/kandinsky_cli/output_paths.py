"""Chooses the files that pictures are written to, and tries their folder, before a model loads."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from kandinsky_core.errors import InvalidInputError

__all__ = ["choose_paths"]


def choose_paths(output: Path | None, seeds: Sequence[int], *, overwrite: bool) -> list[Path]:
    """Return a path for each picture.

    A file that is there is replaced in one case only: it is the one that was named, and
    `overwrite` is set. Files whose names are derived from it or from a seed get unused names.

    Raises:
        InvalidInputError: The file is no .png or is there already, or its folder cannot be
            written.
    """
    try:
        return _choose(output, seeds, overwrite)
    except OSError as error:  # a name that is too long, for example
        raise InvalidInputError(f"--output {output}: {error.strerror}") from error


def _choose(output: Path | None, seeds: Sequence[int], overwrite: bool) -> list[Path]:
    folder = output if output is not None else Path()
    if output is not None and output.suffix and not output.is_dir():
        if output.suffix.lower() != ".png":
            raise InvalidInputError(f"--output {output}: pictures are written as .png")
        folder = output.parent
        paths = [output]
        if len(seeds) > 1:
            paths = _unused([output.with_stem(f"{output.stem}-{seed}") for seed in seeds])
        elif output.exists() and not overwrite:
            raise InvalidInputError(
                f"--output {output}: there is such a file; give another name, or --overwrite to "
                "replace it"
            )
    else:
        paths = _unused([folder / f"kandinsky-{seed}.png" for seed in seeds])
    _try_folder(folder)
    return paths


def _try_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made; permissions alone do not tell (`/proc`)."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    problem = None if existing.is_dir() else "it is a file"
    if problem is None:
        try:
            with tempfile.TemporaryFile(dir=existing):  # without a name, where that is possible
                pass
        except OSError as error:
            problem = error.strerror
    if problem is not None:
        raise InvalidInputError(
            f"--output: {existing} is no folder that can be written ({problem})"
        )


def _unused(paths: Sequence[Path]) -> list[Path]:
    """Add a number to each path that exists already or comes twice."""
    chosen: list[Path] = []
    for path in paths:
        candidate, number = path, 2
        while candidate.exists() or candidate in chosen:
            candidate = path.with_stem(f"{path.stem}-{number}")
            number += 1
        chosen.append(candidate)
    return chosen
