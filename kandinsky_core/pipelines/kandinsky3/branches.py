"""Finds a ControlNet of Kandinsky 3 by the name of a model that holds it, or of its own folder."""

from __future__ import annotations

from typing import Any

from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import ModelNotFoundError
from kandinsky_core.pipelines.shared.network_classes import Kandinsky3ControlNetModel

__all__ = ["load_branch"]


def load_branch(model: str, **options: Any) -> Any:
    """Load the ControlNet that stands beside a UNet.

    Args:
        model: A model that holds it, or a folder of it alone.
        **options: As for `Kandinsky3ControlNetModel.from_pretrained`.

    Raises:
        KandinskyError: There is none, or it is damaged.
    """
    try:
        opened = OpenedModel.of(model, "decoder", HubOptions.among(options)).checkpoint
        place = opened.require(["controlnet"])["controlnet"].folder.name
    except ModelNotFoundError:
        place = None
    return Kandinsky3ControlNetModel.from_pretrained(model, subfolder=place, **options)
