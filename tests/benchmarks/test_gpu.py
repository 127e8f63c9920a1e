"""The script for one GPU: its parts, limits and table, and all of it on a CPU with `shapes`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jax")

from benchmarks import gpu


def options(*words: str) -> argparse.Namespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gpu", *words])
        return gpu._arguments()


def part(name: str, *words: str, limit: float = 60, side: str = "jax") -> gpu.Part:
    return gpu.Part(name, side, words, limit, lambda found: {"best": found["seconds"]})


def script(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """A module of that code, which a part can run."""
    (folder / "part_module.py").write_text(code)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return "part_module"


def test_what_tells_most_comes_first() -> None:
    parts = list(gpu.parts_of(options(), gpu._UNET_SIDES))
    assert [(part.name, part.side) for part in parts] == [
        ("verify", "jax"),
        *(("UNet step, 512 px", side) for side in ("jax", "jax without kernels", "diffusers")),
        ("writing the model", ""),
        ("picture in 50 steps", "jax"),
        ("picture in 50 steps", "diffusers"),
        ("restart", "jax"),
        *(("UNet step, 1024 px", side) for side in ("jax", "jax without kernels", "diffusers")),
        *(("UNet step, 768 px", side) for side in ("jax", "jax without kernels", "diffusers")),
    ]
    assert all("bfloat16" in part.words for part in parts if "step" in part.name)


def test_diffusers_runs_only_on_the_same_device() -> None:
    fast, blind = ({"platform": "gpu", "torch_sees_gpu": sees} for sees in (True, False))
    assert gpu._sides(fast, gpu._UNET_SIDES) == list(gpu._UNET_SIDES)
    for about in (blind, {"platform": "gpu"}, {"platform": "cpu", "torch_sees_gpu": True}):
        assert gpu._sides(about, gpu._UNET_SIDES) == list(gpu._UNET_SIDES[:2])


def test_a_part_ends_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import subprocess, sys\nchild = subprocess.Popen(['sleep', '60'])\n"
    code += "open(sys.argv[1], 'w').write(str(child.pid))\nchild.wait()"
    module = script(tmp_path, monkeypatch, code)
    found = gpu.run_part(part("long", module, str(tmp_path / "pid")), tmp_path, 0.5)
    assert found["state"] == "out of time"
    child = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and " Z " not in state_of(child):
        assert time.monotonic() < end, "the child outlives its part"
        time.sleep(0.01)


def state_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return " Z "


def test_figures_stay_when_a_part_fails_or_time_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys\nassert sys.argv[1] != '0', 'no luck'\n"
    code += "text = '{\"seconds\": ' + sys.argv[1] + '}'\n"
    code += "print(text) if len(sys.argv) < 3 else open(sys.argv[2], 'w').write(text)"
    module = script(tmp_path, monkeypatch, code)
    parts = [
        part("a step", module, "2.5", "{file}"),
        part("a step", module, "5", side="diffusers"),
        part("broken", module, "0"),
        part("late", module, "1", limit=10**6),
    ]
    monkeypatch.setattr(gpu, "parts_of", lambda options, sides: iter(parts))
    file = tmp_path / "found.json"
    asked = options("--json", str(file), "--least", "1e6", "--budget", "1e5")
    for each in parts[:3]:
        assert each.limit < asked.least
    result = gpu.measure(asked, ["jax"], {"kind": "none"})
    assert json.loads(file.read_text()) == result
    states = [entry["state"] for entry in result["parts"]]
    assert states == ["done", "done", "failed", "not begun"]
    assert "no luck" in result["parts"][2]["errors"]
    lines = gpu.table(result).splitlines()
    assert lines[0] == "kind none"
    assert lines[2].split() == ["a", "step", "jax", "2.500", "0.50"]
    assert lines[3].split() == ["a", "step", "diffusers", "5.000", "1.00"]
    assert lines[4].split() == ["broken", "jax", "failed"]
    assert lines[5].split() == ["late", "jax", "not", "begun"]


def test_a_machine_without_a_gpu_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_devices", lambda: {"platform": "cpu"})
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="no GPU but a cpu: --anyway"):
        gpu.main()


def test_the_table_takes_its_figures_from_what_the_commands_write() -> None:
    runs = {"picture": 3.0, "median": 4.0, "first": 9.0, "load": 1.0}
    assert gpu._of_picture({"rows": [{"sides": {"jax": runs}}]}) == {
        "best": 3.0,
        "median": 4.0,
        "first": 9.0,
    }
    cold = {"seconds": 30.0, "stages": {"compile": 20.0}}
    assert gpu._of_restart({"cold": cold, "restart": {"seconds": 2.0}}) == {
        "best": 2.0,
        "first": 30.0,
        "compile": 20.0,
    }
    assert gpu._of_writing({"seconds": 5.0}) == {"best": 5.0}
    passed = {"name": "verify", "side": "jax", "state": "done", "figures": gpu._of_verify({})}
    assert gpu._line(passed, None).endswith("jax: passed\n")


@pytest.mark.slow(seconds=20)
def test_a_step_and_a_picture_on_a_cpu(tmp_path: Path) -> None:
    """By the script as it is; the limits are wide, as other tests may run meanwhile."""
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--anyway", "--model", "shapes"]
    command += ["--whole", "shapes", "--sizes", "64", "--steps", "1", "--repeats", "1"]
    command += ["--sides", "jax", "--parts", "step", "picture", "--patience", "9"]
    done = subprocess.run(
        [*command, "--budget", "3600", "--json", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(file.read_text())
    assert [part["state"] for part in found["parts"]] == ["done"] * 2, done.stdout
    for entry in found["parts"]:
        assert entry["figures"]["best"] > 0
    assert "UNet step, 64 px" in done.stdout
