"""`kandinsky warmup`: its options."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_core.cli.picture_options import add_model_options

__all__ = ["TASKS", "add_parser"]

TASKS = ("generate", "img2img", "inpaint", "interpolate", "controlnet")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "warmup",
        help="compile a model before its first picture",
        description="Compile all that pictures of some sizes need, every combination, and keep it "
        "for later commands. No weight is read and nothing is computed.",
    )
    parser.add_argument(
        "--task",
        default=TASKS[0],
        metavar="COMMAND",
        help=f"the command to compile for: {', '.join(TASKS)} (default: {TASKS[0]})",
    )
    for name, what in (("height", "heights"), ("width", "widths")):
        parser.add_argument(
            f"--{name}", type=int, nargs="+", metavar="PX", help=f"{what} (default: the model's)"
        )
    parser.add_argument(
        "--num-images",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="numbers of pictures of one command (1)",
    )
    for name, whose in (("guidance", "the decoder"), ("prior-guidance", "the prior")):
        parser.add_argument(
            f"--{name}",
            choices=("on", "off", "both"),
            help=f"whether {whose} is guided, which a scale of 1 or less turns off "
            "(default: as the command does)",
        )
    parser.add_argument(
        "--flash", action="store_true", help="with --task generate: Kandinsky 3.1 Flash"
    )
    parser.add_argument(
        "--scheduler", metavar="NAME", help="the decoder's, where the command is given one"
    )
    parser.add_argument(
        "--text-encoder-loading", metavar="WHEN", help="of Kandinsky 3, as the command is given it"
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    # What loading a task's model asks for besides; a picture to start from makes no difference.
    parser.set_defaults(image=None)
