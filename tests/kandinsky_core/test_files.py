"""Files that have no end are not read, and killed writers leave nothing behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kandinsky_core import files
from kandinsky_core.files import blocks, open_regular, read_regular, replace_file

LEFTOVER = ".kandinsky-0123456789abcdef.part"
needs_locks = pytest.mark.skipif(files.fcntl is None, reason="this system has no such locks")
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def write(path: Path, content: bytes) -> None:
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


# Reading


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"", b"abc"):
        path.write_bytes(content)
        assert read_regular(path, 3) == read_regular(str(path), 10) == content
    with pytest.raises(OSError, match="it has 3 bytes, more than the 2 that are read"):
        read_regular(path, 2)
    (tmp_path / "link").symlink_to(path)
    assert read_regular(tmp_path / "link", 3) == b"abc"


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with open_regular(path, 4) as file:
        path.write_bytes(b"abcde")
        with pytest.raises(OSError, match="it has more than the 4 bytes that are read"):
            list(blocks(file, 4))


@needs_pipes
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused = {tmp_path / "pipe": "a pipe", tmp_path: "a folder", Path("/dev/zero"): "a device"}
    for path, kind in refused.items():
        with pytest.raises(OSError, match=f"it is no regular file, but {kind}"):
            open_regular(path, 10)


@needs_pipes
def test_a_pipe_that_takes_the_place_of_a_checked_file_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    checked = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda _: checked)
    with pytest.raises(OSError, match="it is no regular file, but a pipe"):
        open_regular(tmp_path / "pipe", 10)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "absent", "x" * 5000])
def test_impossible_names_are_errors_of_the_system(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"name|No such file"):
        open_regular(str(tmp_path / name), 10)


# Writing


def test_permissions_are_those_of_new_files_or_of_the_file_that_is_replaced(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write(tmp_path / "new", b"new")
        for mode in (0o600, 0o444, 0o755):
            path = tmp_path / f"{mode:o}"
            path.write_bytes(b"old")
            path.chmod(mode)
            with replace_file(path) as temporary:
                assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
                temporary.write_bytes(b"new")
            assert path.read_bytes() == b"new"
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_the_permissions_of_the_process_are_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread would make its files with them meanwhile."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("umask was changed"))
    write(tmp_path / "a", b"new")


@needs_locks
def test_files_of_living_writers_and_of_strangers_stay(tmp_path: Path) -> None:
    strangers = {
        ".kandinsky-0123456789abcdef.png",
        ".kandinsky-0123456789abcde.part",
        ".kandinsky-0123456789ABCDEF.part",
        "kandinsky-0123456789abcdef.part",
        ".a.0123abcd",
    }
    for name in strangers:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "far").write_bytes(b"")
    (tmp_path / LEFTOVER.replace("0", "1")).symlink_to(tmp_path / "far")
    (tmp_path / LEFTOVER.replace("0", "2")).mkdir()
    before = set(tmp_path.iterdir())
    (tmp_path / LEFTOVER).write_bytes(b"of a process that is gone")
    with replace_file(tmp_path / "a") as temporary:
        assert set(tmp_path.iterdir()) == before | {temporary}
        write(tmp_path / "b", b"b")
        assert set(tmp_path.iterdir()) == before | {temporary, tmp_path / "b"}
        temporary.write_bytes(b"a")
    assert set(tmp_path.iterdir()) == before | {tmp_path / "a", tmp_path / "b"}


@needs_locks
def test_a_writer_whose_new_file_was_taken_for_a_leftover_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a file and its lock another process may look at the folder."""
    names = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(names))
    lock = files._locked

    def locked(descriptor: int, *, unsupported: bool) -> bool:
        if unsupported:
            (tmp_path / f".kandinsky-{'0' * 16}.part").unlink(missing_ok=True)
        return lock(descriptor, unsupported=unsupported)

    monkeypatch.setattr(files, "_locked", locked)
    write(tmp_path / "a", b"a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("locks", ["none", "refused"])
def test_without_locks_files_are_written_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str
) -> None:
    class Refusing:
        LOCK_EX = LOCK_NB = 0

        def flock(self, *_: object) -> None:
            raise OSError("this disk has no locks")

    (tmp_path / LEFTOVER).write_bytes(b"")
    monkeypatch.setattr(files, "fcntl", None if locks == "none" else Refusing())
    write(tmp_path / "a", b"a")
    assert (tmp_path / "a").read_bytes() == b"a"
    assert {path.name for path in tmp_path.iterdir()} == {"a", LEFTOVER}


def test_two_writers_of_one_path_leave_one_whole_file(tmp_path: Path) -> None:
    contents = [bytes([number]) * 200_000 for number in range(4)]
    writers = [
        threading.Thread(target=lambda of=content: [write(tmp_path / "a", of) for _ in range(10)])
        for content in contents
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


SLOW_SAVE = """
import sys, time
from pathlib import Path
from kandinsky_core.files import replace_file
print("ready", flush=True)
while True:
    with replace_file(Path(sys.argv[1])) as temporary, temporary.open("wb") as file:
        for _ in range(4):
            file.write(b"new" * 1000)
            file.flush()
            time.sleep(0.001)
"""


@needs_locks
def test_killed_writers_leave_nothing_after_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(b"old" * 4000)
    command = [sys.executable, "-c", SLOW_SAVE, str(path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for number, writer in enumerate(writers):
        assert writer.stdout is not None
        with writer.stdout as output:
            assert output.readline() == b"ready\n"
        time.sleep(0.0013 * number)
        writer.kill()
        writer.wait()
        assert path.read_bytes() in (b"old" * 4000, b"new" * 4000)
    write(tmp_path / "other.png", b"next")
    assert {found.name for found in tmp_path.iterdir()} == {"p.png", "other.png"}


@pytest.mark.slow
@needs_locks
def test_a_writer_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    path, left = tmp_path / "p.png", 0
    for number in range(12):
        command = [sys.executable, "-c", SLOW_SAVE, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(0.0007 * number)
            writer.kill()
        left += len(list(tmp_path.glob(".kandinsky-*.part")))
        write(tmp_path / "other.png", b"next")
        assert not list(tmp_path.glob(".*"))
    assert left, "no writer was killed within its block"
