"""Makes a network's programs ready while its weights are read.

A program that comes from the store is put together again by the compiler, graph and machine code,
which took 6 s for all of Kandinsky 2.2 on a CPU. Reading the weights takes longer, and waits for
the disk. So the store also names, for each network, the programs that it ran last, and a thread
puts these together while the network loads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jax

from kandinsky_backend_kit.file_store import KEY_BYTES, FileStore
from kandinsky_jax.placement.places import OneDevice
from kandinsky_jax.programs.cache import program_store
from kandinsky_jax.programs.description import UndescribedError, describe
from kandinsky_jax.programs.kept_executables import KeptExecutable
from kandinsky_jax.programs.surroundings import compiler

__all__ = ["make_ready", "note_use", "take_ready"]

_NAMED = 4  # programs of a network: a loop has two, and another size of picture two more
_WAITING = 32  # programs that are ready and that nobody has asked for

_lock = threading.Lock()
# By the folder of the store and the program's key.
_ready: OrderedDict[tuple[Path, bytes], Future[jax.stages.Compiled | None]] = OrderedDict()


def make_ready(network: Any, place: Any) -> None:
    """Begin to put together the programs that a network ran last; return at once.

    Args:
        network: What `describe` can tell from other networks.
        place: Where the network will lie. Programs for a mesh are not made ready.
    """
    store = program_store()
    if store is None or not isinstance(place, OneDevice):
        return
    try:
        own = _key(network, place)
    except UndescribedError:  # then none of its programs was kept
        return
    for key in _named(store, own):
        entry = KeptExecutable(store, key, None, place.devices, {})
        with _lock:
            if (store.folder, key) not in _ready:
                _ready[store.folder, key] = _thread().submit(_load, entry)
            while len(_ready) > _WAITING:
                _ready.popitem(last=False)


def take_ready(entry: KeptExecutable) -> jax.stages.Compiled | None:
    """Return a program that was made ready, once, after waiting for its end; or None.

    One that others are before in the thread's queue is taken out of it: the caller loads it sooner.
    """
    with _lock:
        found = _ready.pop((entry.store.folder, entry.key), None)
    return None if found is None or found.cancel() else found.result()


def note_use(network: Any, place: Any, entry: KeptExecutable) -> None:
    """Keep in mind that a network runs a program, for `make_ready` in a later process."""
    if not isinstance(place, OneDevice):
        return
    key = _key(network, place)
    named = _named(entry.store, key)
    if entry.key not in named:
        entry.store.put(key, b"".join([entry.key, *named[: _NAMED - 1]]))


def _named(store: FileStore, key: bytes) -> list[bytes]:
    """Return the keys of programs that the store names, the newest first."""
    content = store.get(key) or b""
    return [content[start : start + KEY_BYTES] for start in range(0, len(content), KEY_BYTES)]


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="kandinsky-programs")


def _load(entry: KeptExecutable) -> jax.stages.Compiled | None:
    return None if _process_ends() else entry.load()


def _process_ends() -> bool:
    """Whether Python only waits for its threads any more."""
    return not threading.main_thread().is_alive()


def _key(network: Any, place: OneDevice) -> bytes:
    parts = ("programs of a network", compiler(place.device), place.description, describe(network))
    return hashlib.sha256(repr(parts).encode()).digest()
