"""The command `kandinsky env`, which describes a machine for a bug report."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.nested_lines import nested_lines

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "env",
        help="describe this machine for a bug report",
        description="Print versions, system, processor, memory, environment variables, backends "
        "and caches, to be pasted into a bug report. Values that are secret by their name, and "
        "passwords in URLs, are not shown.",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(options: argparse.Namespace) -> None:
    """Print all facts. Each is printed as soon as it is known, as a framework may crash."""
    from kandinsky_cli.environment_facts import FACTS, told

    if options.json:
        write_json({name: told(fact) for name, fact in FACTS.items()})
        return
    for name, fact in FACTS.items():
        for line in nested_lines({name: told(fact)}):
            write_line(line)
        sys.stdout.flush()
