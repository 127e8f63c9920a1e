"""`kandinsky controlnet`: its options."""

from __future__ import annotations

from typing import Any

from kandinsky_core.cli.picture_options import (
    TWO_STAGES,
    add_command,
    add_picture_options,
    add_strength,
)

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "controlnet",
        "PROMPT --hint PATH [--image PATH]",
        "make pictures whose layout a hint fixes",
        "Make pictures of a prompt whose layout a hint fixes. The model must be made for it: "
        "`shapes`, whose hint is a white silhouette on black, or "
        "kandinsky-community/kandinsky-2-2-controlnet-depth, whose hint is a depth map.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture shall show")
    parser.add_argument("--hint", required=True, metavar="PATH", help="a picture's path or URL")
    parser.add_argument("--image", metavar="PATH", help="a picture to start from (default: noise)")
    add_strength(parser, 0.5)
    parser.add_argument(
        "--prior-strength",
        type=float,
        default=0.85,
        metavar="X",
        help="the same in the prior: how far the prompt leads away from what --image shows (0.85)",
    )
    add_picture_options(parser)
    parser.set_defaults(**TWO_STAGES)
