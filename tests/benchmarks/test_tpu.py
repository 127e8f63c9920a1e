"""A step of `shapes`, compiled by Google's compiler for a TPU that is not there.

libtpu is not among what the tests install: it takes 213 MB to download and 684 MB on the disk, and
where it is installed JAX looks for a TPU first in every process. `.ci/run` puts it into a folder of
its own, which KANDINSKY_LIBTPU names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

from benchmarks.tpu.compiled_text import parse

FOLDER = os.environ.get("KANDINSKY_LIBTPU")

pytestmark = [
    pytest.mark.slow(seconds=20),
    pytest.mark.skipif(
        FOLDER is None and find_spec("libtpu") is None,
        reason="there is no libtpu: pip install --target DIR --no-deps libtpu==0.0.42.1, and "
        "KANDINSKY_LIBTPU=DIR",
    ),
]


# What a program copies of its weights, on the chip that turned most kernels.
COPIES = """
import json, sys
from benchmarks.tpu.libtpu import prepare
prepare()
from benchmarks.tpu.compiled_text import parse
from benchmarks.tpu.places import far_place
from benchmarks.tpu.programs import PARTS, compile_part
from benchmarks.tpu.reading import weight_copies
made = compile_part(PARTS[sys.argv[1]], far_place("v5p", None), changes=json.loads(sys.argv[2]))
print(*weight_copies(parse(made.text)), sep="\\n")
"""


def run(*words: str) -> str:
    """What a module says; a process of its own, as libtpu reads its settings once."""
    return python("-m", *words)


def python(*words: str) -> str:
    """What Python says to these words."""
    paths = [path for path in (os.environ.get("PYTHONPATH"), FOLDER) if path]
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def told(file: Path, *options: str) -> dict[str, Any]:
    """What `python -m benchmarks.tpu` tells of a step of `shapes`."""
    words = ("--parts", "shapes unet", "--sizes", "128", "--json", str(file))
    assert "v5e: told by the compiler for one chip" in run("benchmarks.tpu", *words, *options)
    (found,) = json.loads(Path(file).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is told of a step in bfloat16."""
    return told(tmp_path_factory.mktemp("tpu") / "found.json")


def test_a_step_copies_no_weight(row: dict[str, Any]) -> None:
    assert row["weight_copies"] == []


def test_a_step_in_bfloat16_multiplies_no_float32(row: dict[str, Any]) -> None:
    assert row["wide_products"] == []
    assert row["products"] > 90


def test_a_step_lays_out_little_anew(row: dict[str, Any]) -> None:
    """73 copies and 100 broadcasts before convolutions kept their rows."""
    assert row["copies"] < 60
    assert row["broadcasts"] < 90


def test_kandinsky3_turns_no_kernel_to_get_heads_apart() -> None:
    copies = python("-c", COPIES, "3 text", '{"num_layers": 2}')
    assert "relative_attention_bias" in copies  # the one table that is copied, of 32 rows
    assert "kernel" not in copies
    smaller = '{"layers_per_block": 2, "block_out_channels": [64, 128, 128, 256]}'
    assert python("-c", COPIES, "3 unet", smaller).strip() == ""


def test_layers_have_the_names_of_the_network(row: dict[str, Any]) -> None:
    assert {"conv_in", "mid_block.attentions.0.to_q"} <= set(row["layers"])


def test_the_flash_kernel_compiles_and_no_scores_are_written(tmp_path: Path) -> None:
    """Two heads of 4096 pixels and 32 tokens, as at 1024 pixels: keys are filled up to 4224."""
    run(
        "benchmarks.tpu.blocks",
        "--cases",
        "two-heads-1024",
        "--forms",
        "now",
        "--hlo",
        str(tmp_path),
    )
    text = (tmp_path / "two-heads-1024-now.hlo").read_text()
    assert 'custom_call_target="tpu_custom_call"' in text
    program = parse(text)
    buffers = [
        buffer
        for computation in program.computations.values()
        for instruction in computation.values()
        for buffer in instruction.buffers
    ]
    assert any(buffer.shape[-2:] == (4224, 128) for buffer in buffers)
    keys = {4128, 4224}
    assert not [buffer for buffer in buffers if 4096 in buffer.shape and keys & {*buffer.shape}]


def test_weights_in_eight_bits_are_widened_where_they_are_multiplied(
    row: dict[str, Any], tmp_path: Path
) -> None:
    eight = told(tmp_path / "found.json", "--quantize", "int8")
    assert eight["program"] == "shapes unet, 128 px, int8"
    assert eight["arguments"] < 0.65 * row["arguments"]
    assert eight["weight_copies"] == eight["wide_products"] == []
    assert eight["casts"] <= row["casts"]
    assert eight["read"] + eight["written"] < 1e6  # none is written down widened
