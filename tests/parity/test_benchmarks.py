"""The benchmarks run and compare like with like; how fast is for people to look at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import torch_side
from benchmarks.__main__ import main
from benchmarks.backend_side import begin
from benchmarks.full_size import CASES, RandomComponent
from benchmarks.mindspore_cpu import SIDES
from kandinsky_core import get_backend
from tests.parity import tiny
from tests.parity.random_models_3 import save_kandinsky3
from tests.support.backends import needs


@pytest.mark.slow
@needs("jax")
def test_every_component_is_compared(tmp_path: Path) -> None:
    """With the embedded model's sizes; PyTorch's other forms have a test of their own."""
    path = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--model", "shapes", "--sizes", "64"]
    few = ["--sides", "jax", "diffusers", "--repeats", "1", "--turns", "1", "--json", str(path)]
    done = subprocess.run([*command, *few], capture_output=True, text=True, check=True)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [row["case"] for row in found["rows"]] == ["unet", "prior", "movq", "text"]
    for row in found["rows"]:
        assert CASES[row["case"]].summary in done.stdout
        ours, theirs = row["sides"]["jax"], row["sides"]["diffusers"]
        assert ours["ratio"] == ours["seconds_per_step"] / theirs["seconds_per_step"]
        assert theirs["ratio"] == 1
        assert ours["compile"] > 0
        assert ours["flops"] > 1e6
        assert 0 < ours["share_of_matmul"] < 1
        if row["case"] == "prior":  # its texts, which run once for a request, are not counted
            assert ours["flops"] < 1e8
        assert {"jax", "flax"} == set(ours["versions"])


@pytest.mark.slow
@needs("jax")
def test_both_sides_of_kandinsky_3_run() -> None:
    """With a small network, as the published one has 3 billion parameters."""
    source = RandomComponent("Kandinsky3UNet", tiny.KANDINSKY3_UNET_SHALLOW)
    begin("unet-3", get_backend("jax").load(source, "float32"), 64)()
    theirs = torch_side.built(source, torch.float32, "cpu")
    call, arguments = torch_side.CALLS["unet-3"](theirs, 64)
    assert call(*arguments).shape == (2, 4, 8, 8)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["unet-3"], "shapes has no unet-3"), (["none"], "invalid choice: 'none'")],
)
def test_cases_that_a_model_lacks_are_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "--model", "shapes", "--cases", *words])
    with pytest.raises(SystemExit):
        main()
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_compiler_that_does_not_work_is_told_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--model", "shapes", "--sizes", "64"]
    few = ["--cases", "text", "--repeats", "1", "--turns", "1", "--json", str(path)]
    sides = ["--sides", "diffusers compiled", "diffusers channels-last", "diffusers"]
    without = os.environ | {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [*command, *few, *sides], capture_output=True, text=True, check=True, env=without
    )
    assert "diffusers compiled: left out, as it failed" in done.stderr
    (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert set(row["sides"]) == {"diffusers channels-last", "diffusers"}
    other = row["sides"]["diffusers channels-last"]
    expected = other["seconds_per_step"] / row["sides"]["diffusers"]["seconds_per_step"]
    assert other["ratio"] == expected


@pytest.mark.slow
@needs("jax")
@pytest.mark.parametrize("family", ["2.2", "3"])
def test_a_restart_compiles_nothing(family: str, shallow: Path, tmp_path: Path) -> None:
    model, size = (shallow, []) if family == "2.2" else (save_kandinsky3(tmp_path), ["--size=64"])
    command = [sys.executable, "-m", "benchmarks.restart", "--model", str(model), "--json", *size]
    done = subprocess.run([*command, "--turns", "1"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found["cold"]["cached"]) == {False}
    for side in ("restart", "warmed up", "converted"):
        assert set(found[side]["cached"]) == {True}, side
        assert found[side]["ratio"] == found[side]["seconds"] / found["cold"]["seconds"]


@pytest.mark.slow
@needs("jax")
def test_from_prompt_to_picture(shallow: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.end_to_end", "--model", str(shallow)]
    few = ["--steps", "2", "--prior-steps", "2", "--turns", "1", "--json", str(path)]
    done = subprocess.run([*command, *few], capture_output=True, text=True, check=True)
    assert "prompt to picture, float32\n  jax " in done.stdout
    (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
    ours, theirs = row["sides"]["jax"], row["sides"]["diffusers"]
    assert ours["ratio"] == ours["picture"] / theirs["picture"]
    assert ours["first"] > ours["picture"], "the first one compiles"
    (run,) = ours["runs"]
    assert run["prior second"] + run["decoder second"] == ours["picture"]


@pytest.mark.slow
@needs("jax")
def test_what_tiles_change() -> None:
    command = [sys.executable, "-m", "benchmarks.movq_tiles", "--sizes", "32", "64"]
    command += ["--steps", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    small, large = (float(line.split()[2]) for line in done.stdout.splitlines()[:2])
    assert small <= large
    (deviation,) = re.findall(r"tiles of 128: mean deviation ([\d.]+)", done.stdout)
    assert 0 < float(deviation) < 0.03  # 0.017 is seen


@needs("jax")
def test_parts_of_a_step_are_timed_both_ways() -> None:
    from benchmarks import attention, convolutions

    assert all(seconds > 0 for seconds in attention.measure(1, 24, 2, 8, "bfloat16"))
    for doubled in (False, True):
        shape = (8, 4, 6, doubled)
        assert all(seconds > 0 for seconds in convolutions.measure(shape, "bfloat16", 4, 1))


@pytest.mark.slow
@needs("jax")
def test_operations_are_those_of_the_reference() -> None:
    """Those that PyTorch counts on the reference, but for what a loop needs only once."""
    from benchmarks.estimates import calls

    counted = {call.name: call.flops / 1e12 for call in calls(512)}
    assert counted["UNet"] == pytest.approx(1.7121, rel=0.05)
    assert counted["UNet"] < 1.7121
    assert counted["MoVQ"] == pytest.approx(2.000, rel=0.01)
    assert counted["CLIP text"] == pytest.approx(0.09786, rel=0.02)
    assert counted["CLIP image"] == pytest.approx(0.9675, rel=0.02)
    assert counted["prior"] < 0.329 / 20, "texts run through the blocks once, not at every step"


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
