"""`kandinsky warmup`: a later command of that size takes all of its programs from the cache."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kandinsky_cli.run import Runner
from tests.support.backends import needs

pytest.importorskip("jax")

ROOT = Path(__file__).parents[2]
SIZE = ("--height", "16", "--width", "32")
# The command line, with the log of compilations and what JAX says of them on standard error.
LOGGED = """
import logging, sys
import jax
logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s')
def listen(event, *_, **__):
    if event.startswith('/jax/core/compile/'):
        print('jax event: ' + event, file=sys.stderr)
jax.monitoring.register_event_duration_secs_listener(listen)
from kandinsky_cli.main import main
code = main(sys.argv[1:])
print('flax is imported: ' + str('flax' in sys.modules), file=sys.stderr)
sys.exit(code)
"""


def compilations(words: list[str], cache: Path, folder: Path, *, traces: bool = False) -> list[str]:
    """Run a command in a process of its own and return what it compiled.

    If it traces nothing, it builds no network either.
    """
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    settings = {"KANDINSKY_COMPILATION_CACHE": str(cache), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, *words],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert ("jax event: " in done.stderr) == traces
    assert f"flax is imported: {traces}" in done.stderr
    mark = "kandinsky_core.compilations: "
    return [line.removeprefix(mark) for line in done.stderr.splitlines() if mark in line]


@pytest.mark.slow
def test_a_later_command_compiles_nothing(tmp_path: Path, shallow: Path) -> None:
    """Guided and not, with a negative prompt and without; the cache starts empty, and is moved."""
    model = ("--model", str(shallow))
    words = ["warmup", *SIZE, *model, "--guidance", "both"]
    first = compilations(words, tmp_path / "first", tmp_path, traces=True)
    cache = (tmp_path / "first").rename(tmp_path / "moved")
    assert len(first) == 11
    assert all(line.startswith("compiled ") for line in first), first
    few = ("--steps", "3", "--prior-steps", "2", "--seed", "7", *SIZE, *model)
    for words in ((), ("--negative-prompt", "b", "--guidance-scale", "1", "--scheduler", "dpm++")):
        later = compilations(["generate", "a", *few, *words], cache, tmp_path)
        assert later
        assert all(line.startswith("took from the cache ") for line in later), later
    again = compilations(["warmup", *SIZE, *model, "--task", "interpolate"], cache, tmp_path)
    assert all(line.startswith("took from the cache ") for line in again), again


@pytest.mark.slow(seconds=8)
def test_it_prints_each_program_and_where_they_are_kept(kandinsky: Runner, shallow: Path) -> None:
    words = (*SIZE, "--task", "img2img", "--model", shallow)
    folder = os.environ["KANDINSKY_COMPILATION_CACHE"]
    logger = logging.getLogger("kandinsky_core.compilations")
    before = (logger.level, list(logger.handlers))
    code, output, error = kandinsky("warmup", *words, "--num-images", 1)
    assert (code, error) == (0, "")
    assert (logger.level, list(logger.handlers)) == before
    lines = output.splitlines()
    assert any("UNet2DCondition guided step for shape (1, 4, 8, 4) in" in line for line in lines)
    assert any("Autoencoder.encode for shape (1, 3, 16, 32) in" in line for line in lines)
    assert lines[-1].startswith(f"{len(lines) - 1} programs in ")
    assert lines[-1].endswith(f", kept in {folder}")

    code, output, error = kandinsky("warmup", *words, "--json")
    assert (code, error) == (0, "")
    result = json.loads(output)
    assert result["cache"] == str(folder)
    assert len(result["programs"]) == len(lines) - 1
    assert {program["cached"] for program in result["programs"]} == {True}
    assert set(result["programs"][0]) == {"program", "shape", "seconds", "cached"}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["inpaint", "controlnet"])
def test_other_tasks(kandinsky: Runner, shallow: Path, task: str) -> None:
    code, output, error = kandinsky("warmup", *SIZE, "--model", shallow, "--task", task, "--json")
    assert (code, error) == (0, "")
    names = [program["program"] for program in json.loads(output)["programs"]]
    assert {"Autoencoder.encode", "PriorTransformer guided step"} <= set(names)
    assert names.count("UNet2DCondition guided step") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "paint"), "--task='paint': choose one of generate, img2img, inpaint"),
        (("--height", "64", "0"), "--height=0: give a whole number of at least 1"),
        (("--num-images", "-1"), "--num-images=-1: give a whole number of at least 1"),
        (("--scheduler", "none"), "'none'"),
        (("--task", "inpaint", "--flash"), "--flash: there is none of --task inpaint"),
        (("--task", "upscale", "--num-images", "2"), "--num-images: there is none of --task"),
        (("--task", "upscale", "--guidance", "on"), "--guidance: there is none of --task upscale"),
        (("--text-encoder-loading", "late"), "--text-encoder-loading='late': choose one of"),
        (("--dtype", "int8"), "dtype 'int8' is not supported"),
        (("--model", "./nowhere"), "no model './nowhere'"),
    ],
)
def test_mistakes(kandinsky: Runner, words: tuple[str, ...], said: str) -> None:
    code, output, error = kandinsky("warmup", *words)
    assert (code, output) == (2, "")
    assert error.startswith("kandinsky warmup: error: ")
    assert error.count("\n") == 1
    assert said in error


def test_without_a_cache_there_is_nothing_to_warm_up(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kandinsky_jax.backend.enable_compilation_cache", lambda: None)
    code, _, error = kandinsky("warmup", *SIZE)
    assert code == 2
    assert "the jax backend keeps no compiled programs" in error
    assert "KANDINSKY_COMPILATION_CACHE is empty" in error


@needs("mindspore")
def test_mindspore_keeps_no_programs(kandinsky: Runner) -> None:
    code, _, error = kandinsky("warmup", "--backend", "mindspore")
    assert code == 2
    assert "the mindspore backend keeps no compiled programs between commands" in error
