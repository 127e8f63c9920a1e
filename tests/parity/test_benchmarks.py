"""The benchmarks run and compare like with like; how fast is for people to look at."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kandinsky_core.hub import EMBEDDED


@pytest.mark.slow
def test_unet_step_compares_both_sides() -> None:
    config = EMBEDDED["shapes"] / "decoder" / "unet" / "config.json"
    command = [sys.executable, "-m", "benchmarks.unet_step", "--json", "--config", str(config)]
    few = ["--size", "64", "--repeats", "1", "--turns", "1"]
    done = subprocess.run([*command, *few], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    ours, theirs = found["jax"], found["diffusers"]
    assert found["ratio"] == ours["seconds_per_step"] / theirs["seconds_per_step"]
    assert ours["compile"] > 0
    assert {"jax", "flax"} == set(ours["versions"])
