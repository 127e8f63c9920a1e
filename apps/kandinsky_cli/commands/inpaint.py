"""The command `kandinsky inpaint`, which repaints a part of a picture."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kandinsky_cli.picture_options import add_command, add_picture_options
from kandinsky_cli.prompt_words import add_prompt_options
from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from kandinsky_cli.make_pictures import CheckedWords

__all__ = ["add_parser", "run"]


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
    add_prompt_options(parser)
    parser.add_argument(
        "--image", required=True, metavar="PATH", help="what to repaint: a picture's path or URL"
    )
    parser.add_argument(
        "--mask",
        required=True,
        metavar="PATH",
        help="a picture's path or URL: white where to repaint, black where to keep",
    )
    parser.add_argument(
        "--paste-back",
        action="store_true",
        help="put the kept pixels back exactly; without it they change a little",
    )
    add_picture_options(parser)


def run(options: argparse.Namespace) -> None:
    """Repaint a part of a picture.

    Raises:
        KandinskyError: See `make`; or the picture or the mask is not usable.
    """
    from kandinsky_cli.input_pictures import InputPicture
    from kandinsky_cli.make_pictures import call_arguments, make
    from kandinsky_core.pictures.inputs import has_white

    image = InputPicture.open("--image", options.image)
    mask = InputPicture.open_mask("--mask", options.mask)
    if not has_white(mask.picture):
        raise InvalidInputError(
            f"--mask {options.mask} has no white pixel: white is repainted, black is kept"
        )

    def draw(pipeline: Any, words: CheckedWords) -> Any:
        return pipeline(
            image=image.picture,
            mask_image=mask.picture,
            paste_back=options.paste_back,
            **call_arguments(options, words),
        )

    facts = {"image": image.record, "mask_image": mask.record, "paste_back": options.paste_back}
    make(options, load, draw, facts)


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.auto import AutoPipelineForInpainting

    return load_model(options, AutoPipelineForInpainting)
