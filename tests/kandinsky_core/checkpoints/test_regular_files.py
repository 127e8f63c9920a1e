"""Only regular files are opened, and a file that was replaced is not taken for the known one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kandinsky_converters.writers import write_mindspore
from kandinsky_core.checkpoints.lora import read_lora
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError, InvalidInputError
from tests.support.torch_archive import write_torch_file

READERS: dict[str, Callable[[Path], Any]] = {
    "safetensors": lambda path: SafetensorsFiles([path]),
    "torch": TorchFile,
    "mindspore": MindSporeFile,
}


def write(kind: str, path: Path, side: int) -> Path:
    values = {"a": np.ones(side, np.float32)}
    if kind == "safetensors":
        save_file(values, path)
    elif kind == "torch":
        write_torch_file(path, values)
    else:
        write_mindspore(path, {"a": ((side,), "F32")}, values.__getitem__)
    return path


@pytest.mark.parametrize("reader", READERS)
def test_pipes_devices_folders_and_sockets_are_refused_at_once(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    names = [tmp_path / name for name in ("pipe", "link", "socket", ".")]
    for path in [*names, Path("/dev/zero"), Path("/dev/null")]:
        with pytest.raises(CheckpointError, match="is no regular file"):
            READERS[reader](path)


def test_a_pipe_is_no_lora(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(InvalidInputError, match="there is no such file"):
        read_lora(tmp_path / "a.safetensors")


@pytest.mark.parametrize("reader", READERS)
def test_absent_files_are_named(tmp_path: Path, reader: str) -> None:
    with pytest.raises(CheckpointError, match=r"none.*cannot be read"):
        READERS[reader](tmp_path / "none")


@pytest.mark.parametrize("reader", ["safetensors", "torch"])
def test_a_file_that_changed_after_its_header_was_read_is_not_mapped(
    tmp_path: Path, reader: str
) -> None:
    """Its values would be taken from the places of the old file."""
    opened = READERS[reader](write(reader, tmp_path / "w", 3))
    write(reader, tmp_path / "w", 2)
    with pytest.raises(CheckpointError, match="was replaced or written after its header"):
        opened.read("a")
    opened = READERS[reader](tmp_path / "w")
    (tmp_path / "w").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        opened.read("a")


def test_a_ckpt_that_changed_is_not_opened_again(tmp_path: Path) -> None:
    opened = MindSporeFile(write("mindspore", tmp_path / "w", 3))
    np.testing.assert_array_equal(opened.again().read("a"), np.ones(3, np.float32))
    write("mindspore", tmp_path / "w", 2)
    with pytest.raises(CheckpointError, match="was replaced or written"):
        opened.again()


@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_is_cut_or_written_while_it_is_mapped_is_refused(
    tmp_path: Path, kind: str
) -> None:
    """To read it would end the process, or give values of two files."""
    path = write(kind, tmp_path / "w", 10_000)
    opened = READERS[kind](path)
    kept = opened.read("a").copy()
    times = path.stat()
    path.rename(tmp_path / "renamed")
    np.testing.assert_array_equal(opened.read("a"), kept)  # to rename it changes nothing
    os.truncate(tmp_path / "renamed", 5_000)
    os.utime(tmp_path / "renamed", ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(CheckpointError, match="was replaced or written after its header"):
        opened.read("a")
    opened = READERS[kind](write(kind, path, 10_000))
    opened.read("a")
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    with pytest.raises(CheckpointError, match="was replaced or written after its header"):
        opened.read("a")
