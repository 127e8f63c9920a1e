"""`kandinsky verify`: its options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="compare backends with each other or with PyTorch diffusers",
        description="Run the same inputs through each component and the same prompt and seed "
        "through the whole, on several backends; exit code 1 where a difference exceeds the "
        "tolerance.",
    )
    parser.add_argument("--model", default="shapes", help="as for `generate` (shapes)")
    parser.add_argument("--prior", metavar="MODEL", help="the prior, where the model names none")
    parser.add_argument(
        "--backends", metavar="NAMES", help="comma-separated (default: all that are installed)"
    )
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="`diffusers` or a backend (default: diffusers where it is installed, else the first "
        "of the backends)",
    )
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument(
        "--prompt", default="a large red circle on a blue background", help="of the picture"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the picture (0)")
    parser.add_argument("--height", type=int, metavar="PX", help="of the picture")
    parser.add_argument("--width", type=int, metavar="PX", help="of the picture")
    parser.add_argument(
        "--steps", type=int, default=20, metavar="N", help="of the decoder (20); the prior takes 10"
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use the cache, never the network"
    )
    parser.add_argument(
        "--converted",
        metavar="DIR",
        type=Path,
        help="instead compare the weights of DIR, which `kandinsky convert` made, with --model",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
