"""The contents of the published checkpoints: each tensor's name, shape and dtype, file digests.

`tools/manifests.py` makes the files here and says what they are checked against.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from kandinsky_core.seam.tensors import Tensors

__all__ = ["VERSIONS", "Manifest", "manifests", "recognise"]

VERSIONS = ("2.0", "2.1", "2.2", "3.0", "3.1", "KandiSuperRes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One component of one published repository.

    Attributes:
        name: Repository and folder, `kandinsky-2-2-decoder/unet` for example.
        class_name: The network's class.
        config: The fields of config.json that concern the network.
        files: SHA-256 of each weight file, by its name.
        parameters: Number of floating-point values.
        tensors: Dtype and shape of every stored tensor.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    files: Mapping[str, str]
    parameters: int
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


def manifests(*versions: str) -> Iterator[Manifest]:
    """Yield the manifests of the given versions of Kandinsky, or of all."""
    for version in versions or VERSIONS:
        packed = files(__name__).joinpath(f"{version}.json.gz").read_bytes()
        for name, entry in json.loads(gzip.decompress(packed)).items():
            yield Manifest(
                name=name,
                class_name=entry["class"],
                config=entry["config"],
                files=entry["files"],
                parameters=entry["parameters"],
                tensors={
                    tensor: (dtype, tuple(shape))
                    for tensor, (dtype, shape) in entry["tensors"].items()
                },
            )


def recognise(class_name: str, tensors: Tensors, unused: Container[str] = ()) -> str | None:
    """Name the published component that has exactly these tensors, whatever their dtypes.

    Stored integers do not count, nor do the names in `unused`. Where several components have the
    same tensors, the first one's name is returned.
    """
    given = {name: tuple(tensors.spec(name)[0]) for name in tensors.names() if name not in unused}
    for manifest in manifests():
        if manifest.class_name == class_name and given == {
            name: shape
            for name, (dtype, shape) in manifest.tensors.items()
            if dtype != "I64" and name not in unused
        }:
            return manifest.name
    return None
