"""Makes a folder so that its path never holds an incomplete one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.staging import LOCK, staging_folder, sync_folder

__all__ = ["new_folder"]


@contextmanager
def new_folder(path: Path, size: int) -> Iterator[Path]:
    """Yield a folder beside `path`, which is renamed to `path` when the block succeeds.

    The remains of an earlier process that was killed are removed first.

    Args:
        path: The folder to make. It must not exist, or must be empty.
        size: Bytes that will be written; the disk's free room is compared with it at once.

    Raises:
        InvalidInputError: The folder exists, cannot be made, or another process is making it. Or
            the disk lacks room, which may show before or during the block.
    """
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidInputError(f"{path} exists already: name another folder, or remove it first")
    partial = path.with_name(f".{path.name}.partial")
    with staging_folder(partial, path, size):
        yield partial
        sync_folder(partial)
        partial.rename(path)  # with the lock in it, or another process might take it now
        (path / LOCK).unlink()
        sync_folder(path.parent)
