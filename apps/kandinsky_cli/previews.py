"""The option `--preview-every`: a small picture of what the decoder has so far, while it works."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from kandinsky_cli.console import write_error
from kandinsky_cli.output_paths import OutputPaths, refuse_existing
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import why_not
from kandinsky_core.pictures.formats import picture_format
from kandinsky_core.pictures.metadata import save_image
from kandinsky_core.pictures.outputs import make_image_grid, to_pil, to_unit_range
from kandinsky_core.pipelines.shared.call_options import PREDICTED
from kandinsky_core.validation import positive_int

__all__ = ["Previews"]

_SIDE = 256  # pixels of a preview's longer side
_MOST = 16  # pictures of a batch that are shown, side by side


@dataclass(slots=True)
class Previews:
    """Writes a preview after every so many steps of a decoder.

    MoVQ decodes the clean latents that the step predicts, just as it decodes the finished ones: so
    a preview takes as long as that. They are only read, and the picture stays the same.

    Attributes:
        who: The command, for a warning.
        every: Steps from one preview to the next; None where there are none.
        path: The file, which each preview replaces.
        size: Height and width of the pictures; None where they are the model's own.
    """

    who: str
    every: int | None
    path: Path
    size: tuple[int | None, int | None]

    @classmethod
    def choose(cls, options: argparse.Namespace, paths: OutputPaths) -> Self:
        """Check the options before a model is loaded, and choose the file.

        Raises:
            InvalidInputError: The number of steps is none, or the file is there already, is no
                picture's by its suffix, or is named without `--preview-every`.
        """
        every, path = options.preview_every, options.preview_file
        if every is None and path is not None:
            raise InvalidInputError(f"--preview-file {path}: say how often by --preview-every N")
        if every is not None:
            positive_int("--preview-every", every)
        if path is None:
            path = paths.preview if every is None else paths.unused(paths.preview)
        else:
            picture_format(path, f"--preview-file {path}")
            if not options.overwrite:
                refuse_existing("--preview-file", path)
        who = f"kandinsky {options.command}"
        return cls(who, every, path, (options.height, options.width))

    @property
    def watch(self) -> Mapping[str, Any]:
        """Arguments of a decoder's call."""
        if self.every is None:
            return {}
        return {
            "callback_on_step_end": self._after_step,
            "callback_on_step_end_tensor_inputs": [PREDICTED],
        }

    def _after_step(self, pipeline: Any, index: int, _: int, values: Mapping[str, Any]) -> None:
        if self.every is None or (index + 1) % self.every:
            return
        pixels = np.nan_to_num(pipeline.decode_latents(values[PREDICTED]))
        height, width = self.size
        pictures = to_pil(
            to_unit_range(pixels, height or pixels.shape[2], width or pixels.shape[3])
        )[:_MOST]
        for picture in pictures:
            picture.thumbnail((_SIDE, _SIDE))
        try:
            save_image(
                make_image_grid(pictures, 1, len(pictures)),
                self.path,
                {"preview_after_steps": index + 1},
            )
        except OSError as error:  # no reason to lose the picture itself
            problem = f"--preview-file {self.path}: {why_not(error)}: no more previews are written"
            write_error(self.who, problem, kind="warning")
            self.every = None
