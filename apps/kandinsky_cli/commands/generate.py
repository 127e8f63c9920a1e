"""The command `kandinsky generate`, which makes pictures of a prompt."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kandinsky_cli.image_prompts import add_image_prompt_options
from kandinsky_cli.picture_options import add_command, add_picture_options
from kandinsky_cli.prompt_words import add_prompt_options

if TYPE_CHECKING:
    from kandinsky_cli.make_pictures import CheckedWords

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "generate", "PROMPT", "make pictures of a prompt", "Make pictures of a prompt."
    )
    add_prompt_options(parser)
    parser.add_argument(
        "--flash",
        action="store_true",
        help="use Kandinsky 3.1 Flash, which the model must hold: four steps, no guidance",
    )
    add_image_prompt_options(parser)
    add_picture_options(parser)


def run(options: argparse.Namespace) -> None:
    """Make pictures of a prompt.

    Raises:
        KandinskyError: See `make`, or a picture is not usable.
    """
    from kandinsky_cli.image_prompts import ImagePrompts
    from kandinsky_cli.make_pictures import call_arguments, make
    from kandinsky_core.errors import InvalidInputError

    if options.flash and options.ip_image:
        raise InvalidInputError("--ip-image: Flash takes no pictures; leave one of the two out")
    images = ImagePrompts.choose(options)

    def draw(pipeline: Any, words: CheckedWords) -> Any:
        return pipeline(**call_arguments(options, words), **images.arguments(pipeline))

    make(options, load, draw, {**({"flash": True} if options.flash else {}), **images.facts})


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
    from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline

    if not options.flash:
        return load_model(options, AutoPipelineForText2Image)
    _require_flash(options)
    return load_model(options, Kandinsky3FlashPipeline)


def _require_flash(options: argparse.Namespace) -> None:
    """Refuse a model that is there, but is not Kandinsky 3.1 Flash.

    Raises:
        InvalidInputError: It is another model.
        KandinskyError: The model is missing or damaged.
    """
    from kandinsky_core.checkpoints.hub import HubOptions
    from kandinsky_core.checkpoints.opened_model import OpenedModel
    from kandinsky_core.errors import CheckpointError, InvalidInputError
    from kandinsky_core.pipelines.kandinsky3.flash import Kandinsky3FlashPipeline

    hub = HubOptions.among(vars(options))
    try:
        found = OpenedModel.of(options.model, Kandinsky3FlashPipeline.part, hub)
    except CheckpointError:
        # Where the model can be opened without the option, the option is what is wrong.
        found = OpenedModel.of(options.model, "decoder", hub)
    if not found.pipeline_class.startswith("Kandinsky3"):
        raise InvalidInputError(
            f"--flash: {options.model} is a {found.pipeline_class}, and Flash is of Kandinsky 3.1: "
            "leave --flash out, or give --model a model that holds Flash"
        )
