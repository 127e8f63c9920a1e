"""The command `kandinsky interpolate`, which makes pictures of mixed texts and pictures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kandinsky_cli.option_types import item_weight
from kandinsky_cli.picture_options import TWO_STAGES, add_command, add_picture_options
from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from kandinsky_cli.make_pictures import CheckedWords

__all__ = ["add_parser", "run"]


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
        type=item_weight,
        nargs="+",
        required=True,
        metavar="W",
        help="one weight for each item, in order; commonly they sum to 1",
    )
    add_picture_options(parser)
    parser.set_defaults(**TWO_STAGES)


def run(options: argparse.Namespace) -> None:
    """Mix texts and pictures.

    Raises:
        KandinskyError: See `make`, or an item or a weight is not usable.
    """
    from kandinsky_cli.input_pictures import item_of
    from kandinsky_cli.make_pictures import call_halves, make
    from kandinsky_core.texts.prompts import Prompts
    from kandinsky_core.validation import real_number

    items = [item_of(word) for word in options.items]
    if len(options.weights) != len(items):
        raise InvalidInputError(
            f"--weights has {len(options.weights)} weights for {len(items)} items: "
            "give one for each"
        )
    for weight in options.weights:
        real_number("--weights", weight)
    if not any(options.weights):
        raise InvalidInputError("--weights are all 0: nothing would be mixed; give another to one")

    def draw(pipeline: Any, words: CheckedWords) -> Any:
        def embed() -> Any:
            return pipeline.prior_pipe.interpolate(
                [item if isinstance(item, Prompts) else item.picture for item in items],
                options.weights,
                num_images_per_prompt=words.count,
                num_inference_steps=options.prior_steps,
                generator=words.source,
                negative_prior_prompt=options.negative_prompt,
                guidance_scale=options.prior_guidance_scale,
            )

        # The decoder of 2.1 reads a text too; the guide leaves it empty.
        inputs = {"prompt": ""} if pipeline.decoder_pipe.reads_text else {}
        return call_halves(options, pipeline, words, embed, inputs)

    records = [item.texts[0] if isinstance(item, Prompts) else item.record for item in items]
    make(options, load, draw, {"items": records, "weights": options.weights})


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image

    return load_model(options, AutoPipelineForText2Image, mixes=True)
