"""Mends the reference, whose Kandinsky pipelines run with few of diffusers' schedulers.

They do not scale what their UNet reads. They hand a generator to every `step`, and some take none.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import torch

__all__ = ["reference_scheduler", "scaled_input"]


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


def reference_scheduler(name: str) -> Any:
    """Return a scheduler class of diffusers whose `step` takes a generator."""
    scheduler = getattr(diffusers, name)
    if "generator" in inspect.signature(scheduler.step).parameters:
        return scheduler

    class WithGenerator(scheduler):  # type: ignore[misc, valid-type]
        def step(self, *arguments: Any, generator: Any = None, **others: Any) -> Any:
            return super().step(*arguments, **others)

    return WithGenerator
