"""The bars that show how far a loop is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.compile_only import compiling_only

__all__ = ["BARS", "progress", "progress_bar"]


@dataclass(slots=True)
class _Bars:
    """A setting of the whole process.

    Attributes:
        shown: Whether bars are shown where nothing else forbids it.
    """

    shown: bool = True


BARS = _Bars()
"""`kandinsky_core.utils.logging` changes it."""


def progress_bar(iterable: Iterable[Any] | None, total: Any, settings: Mapping[str, Any]) -> Any:
    """Return a tqdm bar.

    Args:
        iterable: The items to go through; None takes `total`.
        total: Number of steps.
        settings: Options of tqdm.

    Raises:
        InvalidInputError: Neither items nor a number is given.
    """
    from tqdm.auto import tqdm

    if iterable is None and total is None:
        raise InvalidInputError("progress_bar: give iterable= or total=")
    # A program without a window has no stderr to draw on.
    nowhere = sys.stderr is None and settings.get("file") is None
    if nowhere or compiling_only() or not BARS.shown:
        settings = {**settings, "disable": True}
    return tqdm(iterable, **({} if total is None else {"total": total}), **settings)


@contextmanager
def progress(total: int, settings: Mapping[str, object]) -> Iterator[Callable[[], object]]:
    """Show a tqdm bar and yield the function that moves it by one."""
    with progress_bar(None, total, settings) as bar:
        yield bar.update
