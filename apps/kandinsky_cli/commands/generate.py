"""The command `kandinsky generate`, which makes pictures of a prompt."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_cli.picture_options import add_command, add_picture_options

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "generate", "PROMPT", "make pictures of a prompt", "Make pictures of a prompt."
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what the picture shall show")
    parser.add_argument(
        "--flash",
        action="store_true",
        help="use Kandinsky 3.1 Flash, which the model must hold: four steps, no guidance",
    )
    add_picture_options(parser)


def run(options: argparse.Namespace) -> None:
    """Make pictures of a prompt.

    Raises:
        KandinskyError: See `make`.
    """
    from kandinsky_cli.make_pictures import call_arguments, make

    make(
        options,
        load,
        lambda pipeline, words: pipeline(**call_arguments(options, words)),
        {"flash": True} if options.flash else {},
    )


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
    from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline

    if not options.flash:
        return load_model(options, AutoPipelineForText2Image)
    return load_model(options, Kandinsky3FlashPipeline)
