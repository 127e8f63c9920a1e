"""`kandinsky backends`: what it does."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from kandinsky_core.backend import backend_reports

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Print every backend."""
    reports = backend_reports()
    if options.json:
        sys.stdout.write(json.dumps([asdict(report) for report in reports], indent=2) + "\n")
        return
    for report in reports:
        if report.available:
            packages = ", ".join(f"{name} {number}" for name, number in report.versions.items())
            line = f"{packages}; devices: {', '.join(report.devices)}"
        else:
            line = f"not available: {report.problem}"
        sys.stdout.write(f"{report.name:<10} {line}\n")
