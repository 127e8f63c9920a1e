"""Turns JAX's persistent compilation cache on, so that a second start compiles nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import jax

__all__ = ["CACHE_VARIABLE", "cache_hits", "enable_compilation_cache"]

# The environment variable that names the cache's folder; an empty one turns the cache off.
CACHE_VARIABLE = "KANDINSKY_COMPILATION_CACHE"


def enable_compilation_cache() -> Path | None:
    """Let compiled programs outlive the process, unless the user has arranged this otherwise.

    The folder may be moved: its programs are found wherever it is.

    A folder set through JAX itself (`JAX_COMPILATION_CACHE_DIR`, `jax.config`) is left as it is.

    Returns:
        The cache's folder, or None when it is turned off.
    """
    arranged: str | None = jax.config.values["jax_compilation_cache_dir"]
    if arranged:
        return Path(arranged)
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(chosen) if chosen else home / "kandinsky" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX by default keeps only programs that took a second to compile; a picture needs them all.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # XLA has a cache of its own, which says how a GPU is best used. In this folder it would bring
    # the folder's name into every key: after a move or a copy no program would be found.
    jax.config.update("jax_persistent_cache_enable_xla_caches", None)
    return folder


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
