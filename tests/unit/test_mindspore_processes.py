"""Several processes under MindSpore's `msrun`, each with pictures of its own: here on two CPUs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_core import AutoPipelineForText2Image

PROMPTS = ["a red circle on a blue background", "a white star on a green background", "a ring"]
OPTIONS = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "output_type": "np"}

# What a user writes; `msrun` sets the two variables.
SCRIPT = """
import os, sys
import numpy as np
from kandinsky_core import AutoPipelineForText2Image
from tests.unit.test_mindspore_processes import OPTIONS, PROMPTS

rank, size = int(os.environ["RANK_ID"]), int(os.environ["RANK_SIZE"])
pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="mindspore")
pipe.set_progress_bar_config(disable=True)
mine = range(rank, len(PROMPTS), size)
images = pipe([PROMPTS[i] for i in mine], seed=list(mine), **OPTIONS).images
np.savez(f"{sys.argv[1]}/{rank}.npz", **{str(i): image for i, image in zip(mine, images)})
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.mark.slow
def test_two_processes_make_the_pictures_of_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    binaries = Path(sys.executable).parent
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",  # msrun starts the `python` it finds
        "PYTHONPATH": str(root),
        "KANDINSKY_MINDSPORE_DEVICE": "cpu",
    }
    command = [
        str(binaries / "msrun"),
        "--worker_num=2",
        "--local_worker_num=2",
        f"--master_port={free_port()}",
        "--join=True",
        f"--log_dir={tmp_path / 'logs'}",
        str(script),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    apart = {
        name: image
        for rank in range(2)
        for name, image in np.load(tmp_path / f"{rank}.npz").items()
    }
    pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="mindspore")
    pipe.set_progress_bar_config(disable=True)
    together = pipe(PROMPTS, seed=[0, 1, 2], **OPTIONS).images
    for index, image in enumerate(together):
        assert np.abs(apart[str(index)] - image).max() < 1e-4
