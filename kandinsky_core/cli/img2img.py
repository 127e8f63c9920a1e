"""`kandinsky img2img`: its options."""

from __future__ import annotations

from typing import Any

from kandinsky_core.cli.picture_options import add_command, add_picture_options, add_strength

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "img2img",
        "PROMPT --image PATH",
        "change a picture as a prompt says",
        "Change a picture as a prompt says.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture shall show")
    parser.add_argument(
        "--image", required=True, metavar="PATH", help="where to start: a picture's path or URL"
    )
    add_strength(parser, 0.3)
    add_picture_options(parser)
