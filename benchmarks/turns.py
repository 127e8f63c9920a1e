"""Running the sides of a benchmark in turns, each in a process of its own.

So neither profits from a warmer machine, and what one allocates is no burden to the other.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

__all__ = ["finish_side", "machine", "run_in_turns", "summary", "versions"]


def run_in_turns(
    module: str, sides: Sequence[str], words: Sequence[str], turns: int
) -> dict[str, list[dict[str, Any]]]:
    """Run `python -m module --side S ...` for every side, `turns` times round.

    Returns:
        What each process told by `finish_side`, by side.
    """
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(turns):
        for side in sides:
            command = [sys.executable, "-m", module, "--side", side, *words]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def finish_side(result: dict[str, Any]) -> None:
    """Tell the parent process what was measured, with the memory that this process took."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(json.dumps(result | {"peak_gib": round(peak, 2)}) + "\n")


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The best and the median step of a side's runs, its first compilation, its largest memory."""
    steps = [step for run in runs for step in run["steps"]]
    return {
        "seconds_per_step": min(steps),
        "median": statistics.median(steps),
        "compile": runs[0]["compile"],
        "peak_gib": max(run["peak_gib"] for run in runs),
        "versions": runs[0]["versions"],
    }


def machine() -> dict[str, Any]:
    """Where and how undisturbed: processor, cores, and the load average of the last minute."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {package: version(package) for package in packages}
