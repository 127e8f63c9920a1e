"""Decides where compiled programs are kept, and turns JAX's own cache on there."""

from __future__ import annotations

import functools
import logging
import os
import re
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

from kandinsky_backend_kit.file_store import FileStore
from kandinsky_core.errors import InvalidInputError

__all__ = [
    "CACHE_VARIABLE",
    "LIMIT_VARIABLE",
    "cache_hits",
    "cache_limit",
    "enable_compilation_cache",
    "program_store",
]

logger = logging.getLogger(__name__)

# The environment variable that names the cache's folder; an empty one turns the cache off.
CACHE_VARIABLE = "KANDINSKY_COMPILATION_CACHE"

LIMIT_VARIABLE = "KANDINSKY_COMPILATION_CACHE_GIB"
"""The environment variable that says how large our own part of that folder may grow, in GiB."""

_DEFAULT_GIB = 4.0

_folder: Path | None = None  # of our own store, unless JAX has one

_NEVER = 1e9  # seconds: JAX keeps no program that compiles faster


def enable_compilation_cache() -> str | Path | None:
    """Let compiled programs outlive the process, unless the user has arranged this otherwise.

    In a folder they are in a store of ours, and the folder may be moved: its programs are found
    wherever it is. Where it can be read and not written, its programs are used and no others are
    kept. JAX's own cache serves where ours cannot: behind an address, and for a mesh of several
    processes.

    A folder set through JAX itself (`JAX_COMPILATION_CACHE_DIR`, `jax.config`) is left as it is,
    and has our store in it, too.

    Returns:
        The cache's folder, an address of a store such as `gs://bucket/folder`, or None where no
        programs are kept.

    Raises:
        InvalidInputError: The environment's `KANDINSKY_COMPILATION_CACHE` is a folder that can be
            neither made nor read, or an address that lacks a package; or see `cache_limit`.
    """
    global _folder  # as JAX's, the cache is the process's
    cache_limit()  # a wrong one is told before anything is loaded
    _folder = None
    arranged: str | None = jax.config.values["jax_compilation_cache_dir"]
    if arranged:
        return arranged if _is_address(arranged) else Path(arranged)
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    folder = _default_folder() if chosen is None else _chosen_folder(chosen)
    if folder is None:
        return None
    writable = not isinstance(folder, Path) or os.access(folder, os.W_OK)
    if isinstance(folder, Path):
        _folder = folder
    if not isinstance(folder, Path) or jax.distributed.is_initialized():
        _use_that_of_jax(str(folder), writable)
    return folder if writable else None


def _use_that_of_jax(folder: str, writable: bool) -> None:
    jax.config.update("jax_compilation_cache_dir", folder)
    # JAX by default keeps only programs that took a second to compile; a picture needs them all.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0 if writable else _NEVER)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # XLA has a cache of its own, which says how a GPU is best used. In this folder it would bring
    # the folder's name into every key: after a move or a copy no program would be found.
    jax.config.update("jax_persistent_cache_enable_xla_caches", None)


def program_store() -> FileStore | None:
    """Return the store of what we keep ourselves, or None where there is no cache in a folder."""
    arranged: str | None = jax.config.values["jax_compilation_cache_dir"]
    if arranged and (
        _is_address(arranged) or not jax.config.values["jax_enable_compilation_cache"]
    ):
        return None
    folder = Path(arranged) if arranged else _folder
    return None if folder is None else _store(folder / "kandinsky", cache_limit())


@functools.cache
def _store(folder: Path, limit: int) -> FileStore:
    return FileStore(folder, limit)


def cache_limit() -> int:
    """Return how many bytes the programs that we keep may take; JAX's own are not among them.

    Raises:
        InvalidInputError: The environment's `KANDINSKY_COMPILATION_CACHE_GIB` is no number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        limit = float(text) if text else _DEFAULT_GIB
    except ValueError:
        limit = 0.0
    if not 0 < limit < 2**20:  # a nan, too
        raise InvalidInputError(
            f"the environment's {LIMIT_VARIABLE}={text!r}: give the GiB that compiled programs may "
            f"take, a number above 0, or leave it out for {_DEFAULT_GIB:g}"
        )
    return int(limit * 2**30)


def _is_address(text: str) -> bool:
    """Whether JAX itself reaches a store by this text: `gs://bucket/folder`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def _chosen_folder(chosen: str) -> str | Path:
    if _is_address(chosen):
        if find_spec("etils") is None:
            raise InvalidInputError(
                f"{CACHE_VARIABLE}={chosen!r}: JAX reaches this store only with etils: "
                "pip install 'etils[epath]', or name a folder"
            )
        return chosen
    try:
        folder = Path(chosen).expanduser()
        _make(folder)
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInputError(
            f"{CACHE_VARIABLE}={chosen!r}: this folder can be neither made nor read ({error}): "
            "name another one, or leave the value empty to keep no programs"
        ) from error
    return folder


def _default_folder() -> Path | None:
    """Return the folder in the user's home, or None where there is none or it is closed."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "kandinsky" / "jax"
        _make(folder)
    except (OSError, RuntimeError) as error:  # the latter: the user has no home
        logger.warning(
            "compiled programs are not kept for the next process (%s): name a folder in %s",
            error,
            CACHE_VARIABLE,
        )
        return None
    return folder


def _make(folder: Path) -> None:
    """Make a folder; one that is there need only be readable."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.R_OK | os.X_OK):
        raise PermissionError(f"{folder} is closed to this user")


class _Hits(threading.local):
    count = 0


_hits = _Hits()


def _listen(event: str, **details: Any) -> None:
    if event == "/jax/compilation_cache/cache_hits":
        _hits.count += 1


# JAX has no public way to take a listener back, so the whole process has one.
jax.monitoring.register_event_listener(_listen)


def cache_hits() -> int:
    """Return how many programs this thread has taken from the cache."""
    return _hits.count
