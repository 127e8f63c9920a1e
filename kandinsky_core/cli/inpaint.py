"""`kandinsky inpaint`: its options."""

from __future__ import annotations

from typing import Any

from kandinsky_core.cli.picture_options import add_command, add_picture_options

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "inpaint",
        "PROMPT --image PATH --mask PATH",
        "repaint a part of a picture",
        "Repaint the part of a picture that is white in a mask. The model must be made for it: "
        "`shapes`, or kandinsky-community/kandinsky-2-2-decoder-inpaint.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the white part shall show")
    parser.add_argument(
        "--image", required=True, metavar="PATH", help="what to repaint: a picture's path or URL"
    )
    parser.add_argument(
        "--mask", required=True, metavar="PATH", help="white where to repaint, black where to keep"
    )
    parser.add_argument(
        "--paste-back",
        action="store_true",
        help="put the kept pixels back exactly; without it they change a little",
    )
    add_picture_options(parser)
