"""Opens the weight files of one component, whatever their layout, safetensors or pickles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kandinsky_converters.layouts.layouts import with_layout
from kandinsky_converters.parts import Part
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.checkpoints.file_names import NULL_EMBEDDING_FILE
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.checkpoints.weight_files import find_pickles, find_weight_files
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["open_component", "open_weights"]


def open_component(component: Component) -> Part:
    """Open the weight files of a component, safetensors or pickles, without reading a tensor.

    Raises:
        CheckpointError: Files are missing, damaged, or do not belong together.
    """
    files, tensors = open_weights(component.folder, component.variant)
    null = component.null_embedding()
    path = component.folder / NULL_EMBEDDING_FILE
    return Part(
        name=component.name,
        class_name=component.class_name,
        config=component.config,
        tensors=with_layout(tensors, "diffusers"),
        files=files if null is None else [*files, path],
        folder=component.folder,
        source_count=len(list(tensors.names())) + len(tensors.others) + (null is not None),
        ignored=dict.fromkeys(tensors.others, "no tensor"),
        null_embedding=null,
    )


def open_weights(folder: Path, variant: str | None) -> tuple[list[Path], OpenedTensors]:
    """Return the weight files in a folder, and their tensors as one set.

    Raises:
        CheckpointError: Files are missing, damaged, or do not belong together.
    """
    infix = f".{variant}" if variant else ""
    try:
        files = find_weight_files(folder, variant)
    except CheckpointError:
        if any(folder.glob(f"*.safetensors.index{infix}.json")):
            raise  # shards are missing, and pickles beside them would not replace them
        files = find_pickles(folder, variant)
        if not files:
            raise
    if files[0].suffix == ".ckpt":
        return files, OpenedTensors([MindSporeFile(files[0])])
    if files[0].suffix == ".bin":
        return files, OpenedTensors([TorchFile(path) for path in files])
    return files, OpenedTensors([SafetensorsFiles(files)])


class OpenedTensors:
    """Several files, seen as one set of tensors.

    Attributes:
        others: Names of entries that are no tensors.
    """

    def __init__(self, files: Sequence[Any]) -> None:
        self._owner: dict[str, Tensors] = {}
        self.layout = getattr(files[0], "layout", "diffusers")
        self.others = [name for file in files for name in getattr(file, "others", ())]
        for file in files:
            for name in file.names():
                if name in self._owner:
                    raise CheckpointError(f"tensor {name!r} is in two of the files")
                self._owner[name] = file

    def names(self) -> Iterable[str]:
        return self._owner.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        return self._owner[name].spec(name)

    def read(self, name: str) -> Array:
        return self._owner[name].read(name)
