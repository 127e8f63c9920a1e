"""The store of compiled programs under attack: what it gives is what was put there, or nothing."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kandinsky_backend_kit import file_store
from kandinsky_backend_kit.file_store import FileStore

LIMIT = 2**20
HEADER = 84
POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
KEY, OTHER = (hashlib.sha256(name).digest() for name in (b"a", b"b"))
CONTENT = bytes(range(200))


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "a" / "store", LIMIT)


def path_of(store: FileStore, key: bytes = KEY) -> Path:
    return store.folder / f"{key.hex()}.entry"


def another(store: FileStore) -> FileStore:
    """The store of another process: nothing is remembered."""
    return FileStore(store.folder, LIMIT)


def test_an_entry_is_given_back_in_any_process(store: FileStore) -> None:
    assert store.get(KEY) is None
    for content in (CONTENT, b"", bytes(300_000)):
        store.put(KEY, content)
        assert another(store).get(KEY) == content
    assert store.get(OTHER) is None
    assert FileStore(store.folder, 2**50).get(KEY) == bytes(300_000), "no room is taken for more"
    moved = store.folder.parent.rename(store.folder.parents[1] / "moved")
    assert FileStore(moved / "store", LIMIT).get(KEY) == bytes(300_000)


def test_every_cut_and_every_changed_byte_is_noticed_and_healed(store: FileStore) -> None:
    store.put(KEY, CONTENT)
    path, whole = path_of(store), path_of(store).read_bytes()
    assert len(whole) == HEADER + len(CONTENT)
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole + b"\0", whole + whole]
    for place in range(len(whole)):
        damaged += [
            whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :] for mask in (1, 255)
        ]
    for content in damaged:
        path.write_bytes(content)
        assert store.get(KEY) is None
        assert not path.exists(), "it is in nobody's way any more"
    store.put(KEY, CONTENT)
    assert store.get(KEY) == CONTENT


def test_ten_thousand_flipped_bits(store: FileStore, caplog: pytest.LogCaptureFixture) -> None:
    """None of them gets through, whatever the size; each entry is warned of once."""
    dice = random.Random(21)
    wholes = {}
    for number in range(4):
        key = hashlib.sha256(bytes([number])).digest()
        store.put(key, dice.randbytes((1, 60, 700, 5000)[number]))
        wholes[key] = path_of(store, key).read_bytes()
    for _ in range(10_000):
        key = dice.choice(list(wholes))
        changed = bytearray(wholes[key])
        bit = dice.randrange(8 * len(changed))
        changed[bit // 8] ^= 1 << bit % 8
        path_of(store, key).write_bytes(changed)
        assert store.get(key) is None
    assert len(caplog.records) == len(wholes)
    assert all("is not used, and made again: " in text for text in caplog.messages)


def test_an_entry_under_another_key_is_not_given(store: FileStore) -> None:
    store.put(KEY, CONTENT)
    path_of(store).rename(path_of(store, OTHER))
    assert store.get(OTHER) is None


@POSIX
def test_entries_that_others_could_have_written_are_not_read(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "target"

    def linked(path: Path) -> None:
        path.rename(target)
        path.symlink_to(target)

    def piped(path: Path) -> None:
        path.unlink()
        os.mkfifo(path)

    for change in (lambda path: path.chmod(0o602), linked, piped):
        store.put(KEY, CONTENT)
        change(path_of(store))
        assert another(store).get(KEY) is None
        assert not os.path.lexists(path_of(store))
    assert target.exists(), "a link is removed, and not what it leads to"
    store.put(KEY, CONTENT)
    owner = path_of(store).stat().st_uid
    found = os.stat_result((0o100600, 0, 0, 1, owner + 7, 0, 10, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda descriptor: found)
    assert store.get(KEY) is None


@POSIX
def test_only_their_user_reads_folder_and_entries(store: FileStore) -> None:
    before = os.umask(0)
    try:
        store.put(KEY, CONTENT)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (store.folder, path_of(store))]
    assert modes == [0o700, 0o600]


def test_the_entries_used_longest_ago_make_room(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 4 * (HEADER + 1000))
    keys = [hashlib.sha256(bytes([number])).digest() for number in range(6)]
    for number, key in enumerate(keys[:4]):
        store.put(key, bytes(1000))
        os.utime(path_of(store, key), (number, number))
    assert store.get(keys[0]) is not None  # is used, and so no longer the first to go
    for key in keys[4:]:
        store.put(key, bytes(1000))
    kept = [another(store).get(key) is not None for key in keys]
    assert kept == [True, False, False, True, True, True]
    store.put(KEY, bytes(5000))
    assert store.get(KEY) is None, "one that is larger than all may be"
    assert sum(kept) == sum(store.get(key) is not None for key in keys)


@pytest.mark.parametrize("reason", ["file", "read-only", "full"])
def test_a_store_that_cannot_be_written_warns_once(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FileStore(tmp_path / "store", LIMIT)
    if reason == "file":
        store.folder.touch()
    else:
        store.put(OTHER, CONTENT)
        number = {"read-only": 30, "full": 28}[reason]  # EROFS, ENOSPC

        def refuse(path: Path, mode: str) -> Any:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(Path, "open", refuse)
    for _ in range(3):
        store.put(KEY, CONTENT)
        assert store.get(KEY) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "nothing more is kept for the next process" in record.getMessage()
    if reason != "file":
        assert store.get(OTHER) == CONTENT
        assert [path.name for path in store.folder.iterdir()] == [path_of(store, OTHER).name]


WRITER = """
import hashlib, random, resource, sys
from pathlib import Path
from kandinsky_backend_kit.file_store import FileStore
folder, kind = sys.argv[1:]
if kind == "small disk":
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
store = FileStore(Path(folder), 600_000)
print("ready", flush=True)
for turn in range(10**9 if kind == "killed" else 150):
    number = random.randrange(20)
    content = bytes([number]) * 50_000 * (1 + number % 2)
    key = hashlib.sha256(bytes([number])).digest()
    found = store.get(key)
    assert found in (None, content)
    store.put(key, content)
"""


def write(folder: Path, kind: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(folder), kind]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@POSIX
def test_processes_at_once_on_a_small_disk_and_killed_ones(tmp_path: Path) -> None:
    """Two write and read the same entries, the bound among them; others are killed meanwhile."""
    others = [write(tmp_path, "two at once") for _ in range(2)]
    for wait in (0.0, 0.03, 0.1):
        killed = write(tmp_path, "killed")
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(wait)
        killed.kill()
        killed.communicate()
    for process in others:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    full = write(tmp_path, "small disk")
    warnings = full.communicate()[1].splitlines()
    assert (full.returncode, len(warnings)) == (0, 1), warnings
    store = FileStore(tmp_path, 600_000)
    store.put(KEY, CONTENT)
    assert not list(tmp_path.glob(".kandinsky-*.part")), "what the killed ones left is gone"
    taken = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 300_000 < taken <= 600_000 + 3 * 100_000, "each process counts what others write later"


def test_a_key_is_a_digest(store: FileStore) -> None:
    with pytest.raises(ValueError, match="a key has 32 bytes, not 1"):
        store.get(b"a")
    assert len(KEY) == file_store.KEY_BYTES
