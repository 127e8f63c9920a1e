"""The benchmarks run and compare like with like; how fast is for people to look at."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.mindspore_cpu import SIDES
from kandinsky_core.hub import EMBEDDED
from tests.backends import needs


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


@pytest.mark.slow
@needs("mindspore")
def test_mindspore_on_a_cpu_compares_all_sides() -> None:
    command = [sys.executable, "-m", "benchmarks.mindspore_cpu", "--json", "--model", "shapes"]
    done = subprocess.run(
        [*command, "--repeats", "1", "--turns", "1"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    theirs, eager, compiled = (found[side] for side in SIDES)
    assert set(found["ratios"]) == set(SIDES[1:])
    for name in ("seconds_per_step", "load"):
        assert found["ratios"]["mindspore"][name] == eager[name] / theirs[name]
    assert compiled["compile"] > 1 > eager["compile"] == theirs["compile"] == 0
    assert {"mindspore", "mindone"} == set(eager["versions"])
    # Every side maps the file; a copy would be all of it.
    assert found["file_mib"] > 14
    assert max(found[side]["load_peak_mib"] for side in SIDES) < found["file_mib"] * 0.8
