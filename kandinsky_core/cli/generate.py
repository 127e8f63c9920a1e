"""`kandinsky generate`: its options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["PROGRAM", "add_parser"]

PROGRAM = "kandinsky generate"  # in a picture's metadata: one command makes it again


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "generate",
        usage="kandinsky generate PROMPT [options]",  # an option with several values would take it
        help="make pictures of a prompt",
        description="Make pictures of a prompt and write them as PNG, with all that it takes to "
        "make them again inside.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture shall show")
    add_model_options(parser)
    parser.add_argument("--negative-prompt", metavar="TEXT", help="what it shall not show")
    parser.add_argument("--height", type=int, metavar="PX", help="height (default: the model's)")
    parser.add_argument("--width", type=int, metavar="PX", help="width (default: the model's)")
    parser.add_argument(
        "--steps", type=int, default=100, metavar="N", help="steps of the decoder (100)"
    )
    parser.add_argument(
        "--guidance-scale", type=float, default=4.0, metavar="X", help="decoder's guidance (4)"
    )
    parser.add_argument(
        "--prior-steps", type=int, default=25, metavar="N", help="steps of the prior (25)"
    )
    parser.add_argument(
        "--prior-guidance-scale", type=float, default=4.0, metavar="X", help="prior's guidance (4)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        nargs="+",
        metavar="N",
        help="one seed for each picture, or the first of consecutive ones (default: random)",
    )
    parser.add_argument(
        "--num-images", type=int, metavar="N", help="pictures (default: one for each seed)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="a .png file or a folder (default: here)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model runs where; shared by all commands that run one."""
    parser.add_argument(
        "--model",
        default="shapes",
        help="`shapes` (embedded, the default), a folder, or a hub id such as "
        "kandinsky-community/kandinsky-2-2-decoder",
    )
    parser.add_argument("--prior", metavar="MODEL", help="the prior, where the model names none")
    parser.add_argument("--backend", help="jax or mindspore (default: the one installed)")
    parser.add_argument("--dtype", default="float32", help="float32 (default), bfloat16 or float16")
    parser.add_argument("--device", help="cpu, gpu, gpu:1, tpu (default: the backend's own)")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")
    parser.add_argument("--prior-revision", metavar="REVISION", help="the same of the prior")
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use the cache, never the network"
    )
