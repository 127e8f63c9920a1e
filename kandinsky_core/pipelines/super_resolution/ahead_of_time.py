"""Compiles the programs of an upscaler before its first call: one for each shape of a window."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.ahead_of_time import CompilesAhead, sizes
from kandinsky_core.seam.compilations import Compilation

__all__ = ["CompilesWindows"]


class CompilesWindows(CompilesAhead):
    """Base of the upscalers: their programs depend on windows, and not on pictures."""

    unet: Any

    def compile(
        self,
        heights: int | Iterable[int] | None = None,
        widths: int | Iterable[int] | None = None,
        batch_sizes: int | Iterable[int] = (1,),
        *,
        guidance: bool | Iterable[bool] | None = None,
        prior_guidance: bool | Iterable[bool] | None = None,
        negative_prompt: bool | Iterable[bool] | None = None,
        image_prompt: bool | Iterable[bool] | None = None,
    ) -> list[Compilation]:
        """Compile every program that calls of these shapes need; see `CompilesAhead.compile`.

        Args:
            heights: Heights in pixels of the small pictures. None is a picture that fills the
                window which the model was trained at, and so stands for all larger ones.
            widths: Widths in pixels of the small pictures.
            batch_sizes: Values of `view_batch_size`.
            guidance: Not for an upscaler.
            prior_guidance: Not for an upscaler.
            negative_prompt: Not for an upscaler.
            image_prompt: Not for an upscaler.

        Returns:
            The programs that were compiled or taken from the cache, without those of earlier calls.

        Raises:
            InvalidInputError: An argument is of the wrong kind, or not for an upscaler.
        """
        others = {
            "guidance": guidance,
            "prior_guidance": prior_guidance,
            "negative_prompt": negative_prompt,
            "image_prompt": image_prompt,
        }
        for name, value in others.items():
            if value is not None:
                raise InvalidInputError(f"{name}: a {type(self).__name__} has none, leave it out")
        config = self.unet.config
        side = config.sample_size // config.scale
        calls = []
        for height, width, count in itertools.product(
            sizes("heights", heights), sizes("widths", widths), sizes("batch_sizes", batch_sizes)
        ):
            # As wide as so many windows without an overlap, which gives at least as many.
            shape = height or side, width or side * count, 3
            calls.append({"image": np.zeros(shape, np.uint8), "view_batch_size": count})
        return self._compile_calls(calls, {"seed"})
