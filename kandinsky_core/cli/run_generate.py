"""`kandinsky generate`: what it does."""

from __future__ import annotations

import argparse
from typing import Any

from kandinsky_core.cli.make_pictures import call_options, load_options, make
from kandinsky_core.pipelines.auto import AutoPipelineForText2Image

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
        {},
    )


def load(options: argparse.Namespace) -> Any:
    """Load the pipeline that the model options name."""
    return AutoPipelineForText2Image.from_pretrained(options.model, **load_options(options))
