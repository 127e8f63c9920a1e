"""`kandinsky convert`: its options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "convert",
        usage="kandinsky convert SOURCE --to LAYOUT --output DIR [options]\n"
        "       kandinsky convert SOURCE --check DIR",
        help="convert weights between diffusers, JAX, MindSpore and the original files",
        description="Convert a model's weights, account for every tensor, and write a report, "
        "conversion.json, beside them; or compare what was converted with its source.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a hub id, a model folder, one converted before, `shapes`, or original files of "
        "Kandinsky 2.1, 3.0 and 3.1 or a folder of them",
    )
    parser.add_argument("--to", metavar="LAYOUT", help="diffusers, jax or mindspore")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--check", type=Path, metavar="DIR", help="compare this conversion with SOURCE instead"
    )
    parser.add_argument(
        "--dtype", help="float32, bfloat16 or float16 (default: as stored; MoVQ stays float32)"
    )
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME",
        help="convert only this one, `unet` for example; may be given several times",
    )
    parser.add_argument(
        "--part",
        help="of a folder or repository of Kandinsky 3's originals: decoder, flash or inpaint, as "
        "a whole model",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use the cache, never the network"
    )
