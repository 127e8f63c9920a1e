"""The command `kandinsky backends`, which shows the backends that are installed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from kandinsky_cli.console import write_error, write_json, write_line

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "backends",
        help="show which backends are installed, and on which devices they run",
        description="Show each backend with its versions and devices, or why it cannot be used.",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(options: argparse.Namespace) -> None:
    """Print a line for every backend, or JSON."""
    from kandinsky_core.seam.registry import backend_reports, environment_problem

    problem = environment_problem()
    if problem is not None:
        write_error("kandinsky backends", problem, kind="warning")
    reports = backend_reports()
    if options.json:
        write_json([asdict(report) for report in reports])
        return
    for report in reports:
        if report.available:
            packages = ", ".join(f"{name} {number}" for name, number in report.versions.items())
            line = f"{packages}; devices: {', '.join(report.devices)}"
        else:
            line = f"not available: {report.problem}"
        write_line(f"{report.name:<10} {line}")
