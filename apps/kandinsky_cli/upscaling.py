"""The option `--upscale` of the commands that make pictures: the pictures are enlarged at once."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

__all__ = ["Upscaling", "add_upscale_options"]

_PUBLISHED = "ai-forever/KandiSuperRes"


def add_upscale_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command that makes pictures."""
    parser.add_argument(
        "--upscale",
        type=int,
        metavar="N",
        help="write the pictures 2 or 4 times as large; see `kandinsky upscale`",
    )
    parser.add_argument(
        "--upscaler",
        metavar="MODEL",
        help="the model that enlarges them (default: `shapes` for its own pictures, "
        "ai-forever/KandiSuperRes for others)",
    )


@dataclass(frozen=True, slots=True)
class Upscaling:
    """How a command enlarges its pictures.

    Attributes:
        scale: Factor of both sides.
        model: The upscaler's name.
    """

    scale: int
    model: str

    @classmethod
    def choose(cls, options: argparse.Namespace) -> Self | None:
        """Check the options before a model is loaded; None where pictures keep their size.

        Raises:
            InvalidInputError: The scale is none that there is, or an upscaler is named without it.
        """
        if options.upscale is None:
            if options.upscaler is not None:
                raise InvalidInputError("--upscaler names a model without --upscale: add it")
            return None
        if options.upscale not in (2, 4):
            raise InvalidInputError(f"--upscale {options.upscale}: give 2 or 4")
        usual = options.model if options.model in EMBEDDED else _PUBLISHED
        return cls(options.upscale, options.upscaler or usual)

    def load(self, options: argparse.Namespace, backend: str) -> Any:
        """Load the upscaler, on the backend that makes the pictures.

        Raises:
            KandinskyError: See `KandinskySuperResPipeline.from_pretrained`.
        """
        from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline

        upscaler = KandinskySuperResPipeline.from_pretrained(
            self.model,
            scale=self.scale,
            backend=backend,
            device=options.device,
            dtype=options.dtype,
            local_files_only=options.local_files_only,
        )
        # A bar for each picture would be in the way of the bar of the pictures.
        upscaler.set_progress_bar_config(disable=True)
        return upscaler

    def enlarge(self, upscaler: Any, output: ImagePipelineOutput) -> ImagePipelineOutput:
        """Enlarge pictures one by one, so that each is the one that it would be alone."""
        from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput

        large = [upscaler(image) for image in output.images]
        own = {"upscale": self.scale, "upscaler": self.model}
        metadata = [
            {**found, **own, "upscaled": made.metadata[0]["upscaled"]}
            for found, made in zip(output.metadata, large, strict=True)
        ]
        images = [made.images[0] for made in large]
        return ImagePipelineOutput(images, metadata, output.interrupted)
