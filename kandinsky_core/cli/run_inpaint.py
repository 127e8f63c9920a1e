"""`kandinsky inpaint`: what it does."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_core.cli.input_pictures import InputPicture
from kandinsky_core.cli.make_pictures import call_options, load_model, make
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.image_inputs import as_masks
from kandinsky_core.pipelines.auto import AutoPipelineForInpainting

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Repaint a part of a picture.

    Raises:
        KandinskyError: See `make`, or picture or mask are not usable.
    """
    image = InputPicture.open("--image", options.image)
    mask = InputPicture.open("--mask", options.mask)
    if not as_masks("--mask", mask.picture, mask.picture.height, mask.picture.width).any():
        raise InvalidInputError(
            f"--mask {options.mask} has no white pixel: white is repainted, black is kept"
        )

    def draw(pipeline: Any, seeds: list[int]) -> Any:
        return pipeline(
            options.prompt,
            image=image.picture,
            mask_image=mask.picture,
            paste_back=options.paste_back,
            **call_options(options, seeds),
        )

    facts = {"image": image.record, "mask_image": mask.record, "paste_back": options.paste_back}
    make(options, load, draw, facts)


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    return load_model(options, AutoPipelineForInpainting)
