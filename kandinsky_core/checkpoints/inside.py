"""Resolves names that come from a model's files: what a name leads to must lie in the model.

A model folder is a stranger's. Its index, its tables of shards and its links name files, and
without a check such a name leads to any file of the machine, to be read or written.
"""

from __future__ import annotations

import re
from pathlib import Path

from kandinsky_core.errors import CheckpointError

__all__ = ["component_name", "inside"]

_LONGEST_PART = 255  # bytes: what file systems allow between two slashes
_COMPONENT = re.compile(r"[A-Za-z0-9_-]{1,100}")
_DRIVE = re.compile(r"[A-Za-z]:")  # of Windows


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file or folder that a model names, without any link resolved.

    What counts as the inside is the folder, after links in its own path are resolved: a whole model
    folder may be a link. A snapshot in a hub's cache (`models--.../snapshots/COMMIT`) consists of
    links to `models--.../blobs`, so there the whole `models--...` folder counts as the inside.

    Args:
        folder: The folder that the name starts at.
        name: A relative path with `/` between its parts. Nothing needs to exist there.

    Raises:
        CheckpointError: The name is no text, empty, absolute, too long, or has a part `..`. Or it
            leads outside through a link, or to a link whose target is gone.
    """
    if not _is_relative(name):
        raise CheckpointError(
            f"{folder} names {name!r}, which leads out of the folder or is no file name: allowed "
            "is a relative path without '..'; do not use this model, or correct the name"
        )
    path = folder / name
    try:
        target = path.resolve()
        root = _root(folder.resolve())
        gone = path.is_symlink() and not target.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before 3.13
        raise CheckpointError(f"{path} cannot be followed: {error}") from error
    if not target.is_relative_to(root):
        raise CheckpointError(
            f"{path} is a link to {target}, outside of {root}: allowed are links within the model; "
            "put the file itself there if you trust it"
        )
    if gone:
        raise CheckpointError(
            f"{path} is a link to {target}, which is gone: the cache or copy is not whole; fetch "
            "the model again (force_download=True), or copy it with its links resolved"
        )
    return path


def component_name(owner: Path, name: str) -> str:
    """Return the name of a component, which is the name of its folder too.

    Args:
        owner: The file that holds the name, for the error.
        name: The name.

    Raises:
        CheckpointError: It is no plain name of a folder.
    """
    if not isinstance(name, str) or not _COMPONENT.fullmatch(name):
        raise CheckpointError(
            f"{owner} names a component {name!r}: allowed is the plain name of a folder beside "
            "it, letters, digits, '_' and '-'; do not use this model, or correct the name"
        )
    return name


def _is_relative(name: object) -> bool:
    if not isinstance(name, str) or "\0" in name or "\\" in name or _DRIVE.match(name):
        return False
    parts = name.split("/")  # an absolute path starts with an empty part
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return False
    return all(
        0 < length <= _LONGEST_PART and part not in (".", "..")
        for part, length in zip(parts, lengths, strict=True)
    )


def _root(folder: Path) -> Path:
    """Return the folder whose content may be used: see `inside`."""
    for snapshots in folder.parents:
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
            return snapshots.parent
    return folder
