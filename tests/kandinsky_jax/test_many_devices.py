"""Many devices, on one CPU that JAX divides: in processes of their own, as it does so but once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

from kandinsky_core import AutoPipelineForText2Image

ROOT = Path(__file__).parents[2]
DIVIDE = "--xla_force_host_platform_device_count="

PROMPTS = [
    "a large red circle on a blue background",
    "a small yellow star on a black background",
    "a green square on a white background",
]
# Random weights multiply rounding by their guidance.
OPTIONS = {
    "num_inference_steps": 4,
    "prior_num_inference_steps": 3,
    "guidance_scale": 1.5,
    "prior_guidance_scale": 1.5,
    "output_type": "np",
}

# What a user writes, but for the arguments that a cluster would give.
SCRIPT = """
import sys
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))

import numpy as np
from kandinsky_core import AutoPipelineForText2Image, KandinskyError
from tests.kandinsky_jax.test_many_devices import OPTIONS, PROMPTS

model = sys.argv[4]
pipe = AutoPipelineForText2Image.from_pretrained(model, backend="jax", mesh="data=2,model=2")
pipe.set_progress_bar_config(disable=True)
images = pipe(PROMPTS, seed=[3, 1, 4], **OPTIONS).images
pipe.enable_model_cpu_offload()
again = pipe(PROMPTS, seed=[3, 1, 4], **OPTIONS).images
weight = pipe.unet.read_weights(["conv_in.weight"])["conv_in.weight"]
said = ""
try:
    pipe(PROMPTS, seed=[jax.process_index()] * 3, **OPTIONS)
except KandinskyError as error:
    said = str(error)
try:
    pipe.from_pretrained(model, backend="jax", mesh="data=2")
except KandinskyError as error:
    said += str(error)
np.savez(sys.argv[3], images=images, again=again, weight=weight, said=said)
"""


def environment(devices: int) -> dict[str, str]:
    flags = f"{os.environ['XLA_FLAGS']} {DIVIDE}{devices}"
    return os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}


def on_eight_devices(marks: str) -> None:
    file = "tests/kandinsky_jax/eight_devices.py"
    command = [sys.executable, "-m", "pytest", "-q", "-rP", "-x", file, "-m", marks]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(8), capture_output=True, text=True, timeout=1100
    )
    print(done.stdout)  # noqa: T201 - shown by pytest -rP
    assert done.returncode == 0, done.stdout + done.stderr


def test_meshes_on_eight_devices() -> None:
    on_eight_devices("not slow")


@pytest.mark.slow(seconds=90)
def test_networks_on_eight_devices() -> None:
    on_eight_devices("slow")


@pytest.mark.slow
def test_two_processes_make_the_pictures_of_one(tmp_path: Path, shallow: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    words = [[address, str(rank), f"{tmp_path}/{rank}.npz", str(shallow)] for rank in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *given],
            env=environment(2),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for given in words
    ]
    try:
        errors = [process.communicate(timeout=600)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], errors

    pipe = AutoPipelineForText2Image.from_pretrained(shallow, backend="jax")
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(PROMPTS, seed=[3, 1, 4], **OPTIONS).images
    weight = pipe.unet.read_weights(["conv_in.weight"])["conv_in.weight"]
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as file:
            found = dict(file)
        assert np.abs(found["images"] - expected).max() <= 3e-5  # as in eight_devices.py
        np.testing.assert_array_equal(found["again"], found["images"])
        np.testing.assert_array_equal(found["weight"], weight)
        assert "processes of the mesh were given different inputs" in str(found["said"])
        assert "mesh='data=2' has no device of process 1: each of the 2" in str(found["said"])
