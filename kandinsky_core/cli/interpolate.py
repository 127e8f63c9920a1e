"""`kandinsky interpolate`: its options."""

from __future__ import annotations

from typing import Any

from kandinsky_core.cli.picture_options import TWO_STAGES, add_command, add_picture_options

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "interpolate",
        "ITEM [ITEM ...] --weights W [W ...]",
        "mix texts and pictures",
        "Make pictures of a mixture of texts and pictures. An item is a text, or image:PATH (or "
        "image:URL) for a picture; text:TEXT is a text that may begin with anything.",
    )
    parser.add_argument(
        "items", nargs="+", metavar="ITEM", help="a text, image:PATH, image:URL, or text:TEXT"
    )
    parser.add_argument(
        "--weights",
        type=float,
        nargs="+",
        required=True,
        metavar="W",
        help="one for each item, in order; commonly they sum to 1",
    )
    add_picture_options(parser)
    parser.set_defaults(**TWO_STAGES)
