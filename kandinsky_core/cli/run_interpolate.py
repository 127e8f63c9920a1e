"""`kandinsky interpolate`: what it does."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from kandinsky_core.cli.input_pictures import InputPicture
from kandinsky_core.cli.make_pictures import call_halves, load_model, make
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
from kandinsky_core.validation import as_prompts, real_number

__all__ = ["run", "word_for"]

_IMAGE, _TEXT = "image:", "text:"


def run(options: argparse.Namespace) -> None:
    """Mix texts and pictures.

    Raises:
        KandinskyError: See `make`, or an item or a weight is not usable.
    """
    items = [_item(word) for word in options.items]
    if len(options.weights) != len(items):
        raise InvalidInputError(
            f"--weights has {len(options.weights)} weights for {len(items)} items: "
            "give one for each"
        )
    for weight in options.weights:
        real_number("--weights", weight)

    def draw(pipeline: Any, seeds: list[int]) -> Any:
        def embed(generators: Any) -> Any:
            return pipeline.prior_pipe.interpolate(
                [item if isinstance(item, str) else item.picture for item in items],
                options.weights,
                num_images_per_prompt=len(seeds),
                num_inference_steps=options.prior_steps,
                generator=generators,
                negative_prior_prompt=options.negative_prompt,
                guidance_scale=options.prior_guidance_scale,
            )

        # The decoder of 2.1 reads a text too; the guide leaves it empty.
        inputs = {"prompt": ""} if pipeline.decoder_pipe.reads_text else {}
        return call_halves(options, pipeline, seeds, embed, inputs)

    records = [item if isinstance(item, str) else item.record for item in items]
    make(options, load, draw, {"items": records, "weights": options.weights})


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    return load_model(options, AutoPipelineForText2Image)


def _item(word: str) -> str | InputPicture:
    if not word.startswith(_IMAGE):
        return as_prompts("ITEM", word.removeprefix(_TEXT))[0]
    try:
        return InputPicture.open("ITEM", word.removeprefix(_IMAGE))
    except InvalidInputError as error:
        raise InvalidInputError(f"{error}; as a text it is {_TEXT}{word}") from error


def word_for(item: str | Mapping[str, str]) -> str:
    """Return the word of the command line for an item as the metadata holds it."""
    if isinstance(item, Mapping):
        return _IMAGE + item["path"]
    return _TEXT + item if item.startswith((_IMAGE, _TEXT, "-")) else item
