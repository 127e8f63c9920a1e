"""`kandinsky info`: its options."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "info",
        help="show how a picture was made, or what a model holds",
        description="Show how a picture was made and the command that makes it again, or what a "
        "model consists of: with --dtype, --backend or --device also what its networks take of a "
        "device's memory, before any is loaded.",
    )
    parser.add_argument(
        "subject", metavar="IMAGE-or-MODEL", help="a picture, a model folder, `shapes`, a hub id"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--dtype", help="what the networks would compute in (default: float32)")
    parser.add_argument("--backend", help="whose device to compare with: jax or mindspore")
    parser.add_argument("--device", help="which device: cpu, gpu:1 (default: the backend's own)")
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use the cache, never the network"
    )
