"""`kandinsky generate`: its options."""

from __future__ import annotations

from typing import Any

from kandinsky_core.cli.picture_options import add_command, add_picture_options

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "generate", "PROMPT", "make pictures of a prompt", "Make pictures of a prompt."
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture shall show")
    parser.add_argument(
        "--flash",
        action="store_true",
        help="take Kandinsky 3.1 Flash of the model: four steps, no guidance",
    )
    add_picture_options(parser)
