"""A conversion is there whole or not at all, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.output import new_folder
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.checkpoints.safetensors_writer import HashedFile
from kandinsky_core.errors import InvalidInputError

DECODER = EMBEDDED["shapes"] / "decoder"
# A conversion that counts what it does to the disk, and ends before the step that is asked for.
CONVERT = """
import os
import signal
import sys

from kandinsky_converters.convert import convert
from kandinsky_core.checkpoints.safetensors_writer import HashedFile

source, target, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
steps = 0

def step():
    global steps
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    steps += 1

def audited(event, details):
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        if os.path.dirname(target) in str(details[0]):
            step()

def write(file, data):
    step()
    written(file, data)

written, HashedFile.write = HashedFile.write, write
sys.addaudithook(audited)
convert(source, "jax", target)
print(steps)
"""


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    with new_folder(target, 10) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert not target.exists()
    assert content(target) == {"sub/file": b"x"}
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_an_error_or_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error):
            _fail(tmp_path / "out", error)
        assert list(tmp_path.iterdir()) == []


def _fail(target: Path, error: type[BaseException]) -> None:
    with new_folder(target, 10) as folder:
        (folder / "file").write_text("x")
        raise error


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        with (
            pytest.raises(InvalidInputError, match="exists already"),
            new_folder(tmp_path / name, 1),
        ):
            pass
    with new_folder(tmp_path / "empty", 1) as folder:
        (folder / "file").write_text("x")
    assert content(tmp_path / "empty") == {"file": b"x"}
    assert content(tmp_path / "full") == {"mine": b"x"}


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out", 1) as folder:
        (folder / "file").write_text("x")
        with (
            pytest.raises(InvalidInputError, match="another process is writing"),
            new_folder(tmp_path / "out", 1),
        ):
            pass
        assert (folder / "file").exists()
    assert content(tmp_path / "out") == {"file": b"x"}


def test_too_small_a_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInputError, match=r"no room: .* GB are needed"),
        new_folder(tmp_path / "out", 1 << 60),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write(self: HashedFile, data: object) -> None:
        nonlocal written
        written += 1
        if written > 300:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, data)  # type: ignore[arg-type]

    original = HashedFile.write
    monkeypatch.setattr(HashedFile, "write", write)
    with pytest.raises(InvalidInputError, match=r"no room: .*nothing was left behind"):
        convert(DECODER, "mindspore", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_the_process_is_said_as_well(tmp_path: Path) -> None:
    """The kernel itself refuses the write here: the limit is below the UNet's file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    try:
        with pytest.raises(InvalidInputError, match="no room"):
            convert(DECODER, "jax", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError, match=r"file/out cannot be made"):
        convert(DECODER, "jax", tmp_path / "file" / "out")
    with pytest.raises(InvalidInputError, match="cannot be made"):
        convert(DECODER, "jax", "/proc/kandinsky/out")


@pytest.mark.slow
def test_killed_at_any_moment_there_is_nothing_or_all(tmp_path: Path) -> None:
    """SIGKILL before steps from the last to the first one; then a run to the end.

    Remains of an earlier run are steps, too, so those that end with the folder there come first.
    """
    steps = _run(tmp_path / "whole", None)
    whole = content(tmp_path / "whole")
    target = tmp_path / "out"
    chosen = {0, *random.Random(5).sample(range(steps), 3), *range(steps - 3, steps)}
    outcomes = []
    for step in sorted(chosen, reverse=True):
        _run(target, step)
        outcomes.append(target.exists())
        if target.exists():
            assert _without_lock(content(target)) == whole
            shutil.rmtree(target)
    assert outcomes == [True, True] + [False] * (len(chosen) - 2)  # it is renamed, then unlocked
    _run(target, None)
    assert content(target) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]
    assert list(check(DECODER, target)) == []


def _run(target: Path, killed_before: int | None) -> int:
    """Convert, perhaps not to the end; return the steps that it took."""
    last = -1 if killed_before is None else killed_before
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(DECODER), str(target), str(last)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if killed_before is None else -signal.SIGKILL)
    return int(done.stdout or 0)


def _without_lock(files: dict[str, bytes]) -> dict[str, bytes]:
    """Killed between its last two calls, a conversion leaves its empty lock in the folder."""
    return {name: data for name, data in files.items() if name != ".lock"}
