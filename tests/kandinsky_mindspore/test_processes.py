"""Several processes under MindSpore's `msrun`, each with pictures of its own: here on two CPUs."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/many_devices/msrun.py"
COUNT = 3  # pictures: one process makes two, the other one


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def words(model: Path, folder: Path) -> list[str]:
    few = ["--dtype", "float32", "--num-images", str(COUNT), "--steps", "2"]
    return [str(EXAMPLE), *few, "--model", str(model), "--output", str(folder)]


@pytest.mark.slow(seconds=40)
def test_two_processes_make_the_pictures_of_one(
    shallow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one is this process."""
    binaries = Path(sys.executable).parent
    # msrun starts the `python` it finds
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KANDINSKY_MINDSPORE_DEVICE", "cpu")
    monkeypatch.setattr(sys, "argv", words(shallow, tmp_path / "together"))
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    msrun = [str(binaries / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    msrun += [f"--master_port={free_port()}", f"--log_dir={tmp_path / 'logs'}"]
    done = subprocess.run(
        [*msrun, *words(shallow, tmp_path / "apart")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "logs").glob("worker_*.log"))) == 2
    for seed in range(COUNT):
        pictures = []
        for folder in ("apart", "together"):
            with Image.open(tmp_path / folder / f"{seed}.png") as image:
                pictures.append(np.asarray(image, np.int16))
        assert np.abs(pictures[0] - pictures[1]).max() <= 1, "the last bit of a rounded colour"
        assert pictures[0].std() > 5, "a flat picture"
