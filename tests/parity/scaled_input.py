"""Mends the reference, whose Kandinsky pipelines do not scale what their UNet reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["scaled_input"]


@contextmanager
def scaled_input(pipe: Any) -> Iterator[None]:
    """Have the reference scale what its UNet reads, which it forgets."""

    def scale(_: Any, args: tuple[Any, ...], values: dict[str, Any]) -> Any:
        # of an inpainting UNet's nine channels the last five are not the sample's
        sample, rest = values["sample"][:, :4], values["sample"][:, 4:]
        sample = pipe.scheduler.scale_model_input(sample, values["timestep"])
        return args, values | {"sample": torch.cat([sample, rest], dim=1)}

    handle = pipe.unet.register_forward_pre_hook(scale, with_kwargs=True)
    yield
    handle.remove()
