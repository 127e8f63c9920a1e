"""Offloading measured: at no time are weights of two networks on the device.

In a process of its own, in which JAX divides the CPU into two devices; the second one stands for an
accelerator.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.configs import NETWORKS
from kandinsky_core.memory.plan import ComponentMemory
from kandinsky_jax.components.turns import Turns
from tests.support.kandinsky3_folder import write_kandinsky3

ROOT = Path(__file__).parents[2]
# Bytes that are computed with, less than the smallest network has: 2.3 and 4.0 million. Kandinsky
# 3's are mostly keys and values of a text that is filled up to 128 tokens.
SHAPES_COMPUTED, KANDINSKY3_COMPUTED = 600_000, 3_000_000


def measure(folder: Path, *cases: str) -> dict[str, Any]:
    """What `offloading_samples` sees."""
    environment = os.environ | {
        "KANDINSKY_COMPILATION_CACHE": "",  # else a later case would need no image encoder
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
    }
    command = [sys.executable, "-m", "tests.kandinsky_jax.offloading_samples", str(folder), *cases]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def sizes(*folders: Path) -> dict[str, int]:
    """Bytes of each network in float32, by its class."""
    return {
        component.class_name: ComponentMemory.of(name, component, "float32").size
        for folder in folders
        for name, component in Checkpoint.open(folder).components.items()
        if component.class_name in NETWORKS
    }


def check(name: str, found: dict[str, Any], expected: dict[str, int], computed: int) -> list[str]:
    """Nothing is there but the network at work and what it computes; then nothing at all."""
    print(f"{name}:")  # noqa: T201 - shown by pytest -rP
    assert found["device"] == "cpu:1"
    used = []
    for when, network, own, other in found["samples"]:
        print(f"  {when} {network}: {own} bytes of it, {other} others")  # noqa: T201
        if when == "block":  # it is gone when it has been applied
            assert (own, other < computed) == (0, True)
        elif when != "load":
            assert own == expected[network]
            assert other < computed
            used.append(network)
    assert found["after"] == 0
    return used


def loads(found: dict[str, Any]) -> list[tuple[int, int]]:
    return [(own, other) for when, _, own, other in found["samples"] if when == "load"]


@pytest.mark.slow
def test_prior_and_decoder() -> None:
    halves = [EMBEDDED["shapes"] / half for half in ("prior", "decoder")]
    expected = sizes(*halves)
    found = measure(halves[0], "offload", "enable_model_cpu_offload")
    for name, case in found.items():
        used = check(name, case, expected, SHAPES_COMPUTED)
        assert set(used) == set(expected)
        between = ["UNet2DConditionModel", "VQModel"]  # a preview after each of two steps
        assert used[-6:] == [*between, between[0], *between, between[1]]
    first, later = loads(found["offload"]), loads(found["enable_model_cpu_offload"])
    assert first == [(size, 0) for size, _ in first], "one was loaded beside another"
    assert sum(later[-1]) == sum(expected.values()), "here all are there before they are offloaded"


@pytest.mark.slow
def test_a_text_encoder_that_is_loaded_for_a_text(tmp_path: Path) -> None:
    folder = write_kandinsky3(tmp_path / "kandinsky-3")
    found = measure(folder, "on_demand", "streamed")
    for name, case in found.items():
        used = check(name, case, sizes(folder), KANDINSKY3_COMPUTED)
        assert used.count("T5EncoderModel") == (2 if name == "on_demand" else 0)
        assert [other for _, other in loads(case)] == [0] * len(loads(case))


def test_a_turn_ends_that_of_another_run() -> None:
    class Run:
        left = 0

        def leave(self) -> None:
            self.left += 1

    turns, first, second = Turns(), Run(), Run()
    turns.take("gpu:0", first)
    turns.take("gpu:0", first)
    turns.take("gpu:1", second)
    assert (first.left, second.left) == (0, 0)
    turns.take("gpu:0")  # a single call
    turns.take("gpu:0", second)
    assert (first.left, second.left) == (1, 0)
    del second  # a run that is over
    turns.take("gpu:0", first)
    assert first.left == 1
