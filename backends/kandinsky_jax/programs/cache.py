"""Turns JAX's persistent compilation cache on, so that a second start compiles nothing."""

from __future__ import annotations

import logging
import os
import re
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

from kandinsky_core.errors import InvalidInputError

__all__ = ["CACHE_VARIABLE", "cache_hits", "enable_compilation_cache"]

logger = logging.getLogger(__name__)

# The environment variable that names the cache's folder; an empty one turns the cache off.
CACHE_VARIABLE = "KANDINSKY_COMPILATION_CACHE"

_NEVER = 1e9  # seconds: JAX keeps no program that compiles faster


def enable_compilation_cache() -> str | Path | None:
    """Let compiled programs outlive the process, unless the user has arranged this otherwise.

    The folder may be moved: its programs are found wherever it is. Where the folder can be read and
    not written, its programs are used and no others are kept.

    A folder set through JAX itself (`JAX_COMPILATION_CACHE_DIR`, `jax.config`) is left as it is.

    Returns:
        The cache's folder, an address of a store such as `gs://bucket/folder`, or None where no
        programs are kept.

    Raises:
        InvalidInputError: The environment's `KANDINSKY_COMPILATION_CACHE` is a folder that can be
            neither made nor read, or an address that lacks a package.
    """
    arranged: str | None = jax.config.values["jax_compilation_cache_dir"]
    if arranged:
        return arranged if _is_address(arranged) else Path(arranged)
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    folder = _default_folder() if chosen is None else _chosen_folder(chosen)
    if folder is None:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX by default keeps only programs that took a second to compile; a picture needs them all.
    writable = not isinstance(folder, Path) or os.access(folder, os.W_OK)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0 if writable else _NEVER)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # XLA has a cache of its own, which says how a GPU is best used. In this folder it would bring
    # the folder's name into every key: after a move or a copy no program would be found.
    jax.config.update("jax_persistent_cache_enable_xla_caches", None)
    return folder if writable else None


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
