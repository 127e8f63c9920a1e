"""Makes components of Kandinsky with random weights, and names the calls that are timed."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.manifests import manifests
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import EMBEDDED

__all__ = ["CASES", "Case", "RandomComponent", "check_cases", "component"]

GUIDANCE = 4.0
TOKENS_OF_3 = 128
"""To which pipelines of Kandinsky 3 bring all texts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call that is timed.

    Attributes:
        name: The name on the command line.
        component: The manifest's name of the network.
        sized: Whether the size of the picture matters.
        summary: The words in the table.
        version: The version of Kandinsky that the manifest belongs to.
    """

    name: str
    component: str
    sized: bool
    summary: str
    version: str = "2.2"

    def source(self, model: str) -> RandomComponent:
        """Return the component in the size of the embedded `shapes`, or in the published one.

        Raises:
            ValueError: `shapes` has none.
        """
        if model == "shapes" and self.version != "2.2":
            raise ValueError(f"shapes has no {self.name}; leave out --model for published sizes")
        return component(self.component, model if model == "shapes" else self.version)


CASES = {
    case.name: case
    for case in (
        Case("unet", "kandinsky-2-2-decoder/unet", True, "UNet, a guided step"),
        Case("prior", "kandinsky-2-2-prior/prior", False, "prior, a guided step"),
        Case("movq", "kandinsky-2-2-decoder/movq", True, "MoVQ, decoding one picture"),
        Case("text", "kandinsky-2-2-prior/text_encoder", False, "CLIP text, one prompt"),
        Case("unet-3", "kandinsky-3/unet", True, "UNet of Kandinsky 3, a guided step", "3.0"),
    )
}


def check_cases(parser: argparse.ArgumentParser, names: Iterable[str], model: str) -> None:
    """End the program with a usage error where a model lacks a case."""
    try:
        for name in names:
            CASES[name].source(model)
    except ValueError as error:
        parser.error(str(error))


class RandomTensors:
    """Weights that keep activations of order one: a `kandinsky_core.seam.tensors.Tensors`.

    One pool of numbers serves all tensors: drawing a billion takes longer than the measurement.
    """

    layout = "diffusers"
    others = ()

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self._pool = np.random.default_rng(0).standard_normal(2**21 + 7, np.float32)

    def names(self) -> Iterable[str]:
        """See `Tensors.names`."""
        return self._shapes

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """See `Tensors.spec`."""
        return self._shapes[name], "F32"

    def read(self, name: str) -> Array:
        """See `Tensors.read`."""
        shape = self._shapes[name]
        values: Array = np.resize(self._pool, shape)
        if len(shape) == 1:
            return values * np.float32(0.02) + np.float32(name.endswith("weight"))
        values *= np.float32(1 / math.sqrt(math.prod(shape[1:])))
        return values


@dataclass(frozen=True, slots=True)
class RandomComponent:
    """A `kandinsky_core.seam.tensors.ComponentSource` with random weights."""

    class_name: str
    config: Mapping[str, Any]

    def tensors(self) -> RandomTensors:
        """Return the weights."""
        return RandomTensors(expected_tensors(self.class_name, self.config))


def component(name: str, model: str) -> RandomComponent:
    """Return a component in the published size, or in the size of the embedded model.

    Args:
        name: Its name in the manifests.
        model: `2.2` or `shapes`.
    """
    if model != "shapes":
        manifest = next(entry for entry in manifests(model) if entry.name == name)
        return RandomComponent(manifest.class_name, manifest.config)
    half, part = name.removeprefix("kandinsky-2-2-").split("/")
    checkpoint = Checkpoint.open(EMBEDDED["shapes"] / half)
    found = checkpoint.components[part]
    return RandomComponent(found.class_name, found.config)
