"""The command `kandinsky img2img`, which changes a picture as a prompt says."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kandinsky_cli.image_prompts import add_image_prompt_options
from kandinsky_cli.picture_options import TWO_STAGES, add_command, add_picture_options, add_strength
from kandinsky_cli.prompt_words import add_prompt_options

if TYPE_CHECKING:
    from kandinsky_cli.make_pictures import CheckedWords

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "img2img",
        "PROMPT --image PATH",
        "change a picture as a prompt says",
        "Change a picture as a prompt says.",
    )
    add_prompt_options(parser)
    parser.add_argument(
        "--image", required=True, metavar="PATH", help="where to start: a picture's path or URL"
    )
    add_strength(parser, 0.3)
    add_image_prompt_options(parser)
    add_picture_options(parser)


def run(options: argparse.Namespace) -> None:
    """Change a picture.

    Raises:
        KandinskyError: See `make`, or the picture or the strength is not usable.
    """
    from kandinsky_cli.image_prompts import ImagePrompts
    from kandinsky_cli.input_pictures import InputPicture
    from kandinsky_cli.make_pictures import call_arguments, make
    from kandinsky_core.pipelines.shared.decoder import first_step
    from kandinsky_core.validation import positive_int

    steps = TWO_STAGES["steps"] if options.steps is None else options.steps
    first_step(options.strength, positive_int("--steps", steps))
    image = InputPicture.open("--image", options.image)
    images = ImagePrompts.choose(options)

    def draw(pipeline: Any, words: CheckedWords) -> Any:
        inputs = {"image": image.picture, "strength": options.strength}
        inputs |= images.arguments(pipeline)
        return pipeline(**inputs, **call_arguments(options, words))

    make(options, load, draw, {"image": image.record, **images.facts})


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.auto import AutoPipelineForImage2Image

    return load_model(options, AutoPipelineForImage2Image)
