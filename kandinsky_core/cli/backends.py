"""`kandinsky backends`: its options."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "backends",
        help="show which backends are installed, and on which devices they run",
        description="Show each backend with its versions and devices, or why it cannot be used.",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
