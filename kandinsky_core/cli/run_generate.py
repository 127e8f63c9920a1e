"""`kandinsky generate`: what it does."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_core.cli.make_pictures import call_options, load_model, make
from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
from kandinsky_core.pipelines.kandinsky3_flash import Kandinsky3FlashPipeline

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    """Make pictures of a prompt.

    Raises:
        KandinskyError: See `make`.
    """
    make(
        options,
        load,
        lambda pipeline, seeds: pipeline(options.prompt, **call_options(options, seeds)),
        {"flash": True} if options.flash else {},
    )


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    if not options.flash:
        return load_model(options, AutoPipelineForText2Image)
    return load_model(options, Kandinsky3FlashPipeline)
