"""Tells whether two processes run the same source code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["SourceDigest"]

_State = tuple[tuple[int, int], ...]


class SourceDigest:
    """A digest of source files, as they were when this object was made.

    Whoever makes it as early as the code is imported gets the digest of the code that runs.

    Args:
        folders: The folders of the source files. Their names count, and not where they lie.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._files = sorted(
            (f"{folder.name}/{path.relative_to(folder).as_posix()}", path)
            for folder in folders
            for path in folder.rglob("*.py")
        )
        self._state = self._look()
        self._value = self._read() if self._state else None

    def value(self) -> bytes | None:
        """Return the digest, or None.

        It is None where there are no source files, as in a zip archive, and where a file was
        changed since: the code that runs may be the old one, the new one, or some of both.
        """
        return self._value if self._value is not None and self._look() == self._state else None

    def _look(self) -> _State:
        try:
            seen = [path.stat() for _, path in self._files]
        except OSError:
            return ()
        return tuple((status.st_mtime_ns, status.st_size) for status in seen)

    def _read(self) -> bytes | None:
        total = hashlib.sha256()
        try:
            for name, path in self._files:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{name} {content}\n".encode())
        except OSError:
            return None
        return total.digest()
