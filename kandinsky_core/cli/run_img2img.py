"""`kandinsky img2img`: what it does."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_core.cli.input_pictures import InputPicture
from kandinsky_core.cli.make_pictures import call_options, load_model, make
from kandinsky_core.cli.picture_options import TWO_STAGES
from kandinsky_core.pipelines.auto import AutoPipelineForImage2Image
from kandinsky_core.pipelines.decoder import first_step
from kandinsky_core.validation import positive_int

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Change a picture.

    Raises:
        KandinskyError: See `make`, or the picture or the strength is not usable.
    """
    steps = TWO_STAGES["steps"] if options.steps is None else options.steps
    first_step(options.strength, positive_int("--steps", steps))
    image = InputPicture.open("--image", options.image)

    def draw(pipeline: Any, seeds: list[int]) -> Any:
        inputs = {"image": image.picture, "strength": options.strength}
        return pipeline(options.prompt, **inputs, **call_options(options, seeds))

    make(options, load, draw, {"image": image.record})


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    return load_model(options, AutoPipelineForImage2Image)
