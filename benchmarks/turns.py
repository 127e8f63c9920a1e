"""Runs the sides of a benchmark in turns, each in a process of its own.

So no side profits from a warmer machine, and no side carries the memory of another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "add_comparison",
    "add_dtypes",
    "finish_side",
    "installed",
    "machine",
    "run_in_turns",
    "summary",
    "versions",
    "write_json",
]


def add_dtypes(parser: argparse.ArgumentParser) -> None:
    """Add the option that all commands with several dtypes share."""
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16", "float16"]
    )


def add_comparison(
    parser: argparse.ArgumentParser, sides: Collection[str], default: Sequence[str]
) -> None:
    """Add the options that all commands share which compare sides in dtypes."""
    add_dtypes(parser)
    parser.add_argument("--sides", nargs="+", choices=sides, default=list(default), metavar="SIDE")
    parser.add_argument("--turns", type=int, default=2, help="processes of each side (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--side", choices=sides, help=argparse.SUPPRESS)


def write_json(path: Path | None, found: Mapping[str, Any]) -> None:
    """Write all figures, if a file is named."""
    if path is not None:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def run_in_turns(
    module: str,
    sides: Sequence[str],
    words: Sequence[str],
    turns: int,
    *,
    optional: Collection[str] = (),
) -> dict[str, list[dict[str, Any]]]:
    """Run `python -m module --side S ...` for every side, `turns` times round.

    Args:
        module: The module of the benchmark.
        sides: The sides that are compared.
        words: The other arguments.
        turns: Processes of each side.
        optional: Sides that do not work everywhere. One that fails is left out, and the error
            output says so.

    Returns:
        For each side the results that its processes gave to `finish_side`.

    Raises:
        CalledProcessError: Another side failed.
    """
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(turns):
        for side in list(found):
            command = [sys.executable, "-m", module, "--side", side, *words]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode and side in optional:
                sys.stderr.write(f"{side}: left out, as it failed\n")
                del found[side]
                continue
            done.check_returncode()
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def installed(sides: Sequence[str], packages: Mapping[str, str]) -> list[str]:
    """Return the sides whose package is installed, and say on the error output which are not.

    Raises:
        SystemExit: None is.
    """
    found = []
    for side in sides:
        if find_spec(packages[side]) is None:
            sys.stderr.write(f"{side}: left out, as {packages[side]} is not installed\n")
        else:
            found.append(side)
    if not found:
        raise SystemExit("no side is left: install one, as pyproject.toml's extras do")
    return found


def finish_side(result: dict[str, Any]) -> None:
    """Send the result to the parent process, with the peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(json.dumps(result | {"peak_gib": round(peak, 2)}) + "\n")


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise a side's runs: best and median step, first compilation, largest memory."""
    steps = [step for run in runs for step in run["steps"]]
    return {
        "seconds_per_step": min(steps),
        "median": statistics.median(steps),
        "compile": runs[0]["compile"],
        "peak_gib": max(run["peak_gib"] for run in runs),
        "versions": runs[0]["versions"],
    }


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, and the load average of the last minute."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package."""
    return {package: version(package) for package in packages}
