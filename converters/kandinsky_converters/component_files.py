"""Opens the weight files of one component, whatever their layout, safetensors or pickles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kandinsky_converters.layouts.layouts import with_layout
from kandinsky_converters.parts import Part
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Component, read_json
from kandinsky_core.checkpoints.file_names import NULL_EMBEDDING_FILE, PICKLE_STEMS
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles, find_weight_files
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["open_component"]

_PICKLES = tuple(dict.fromkeys(f"{stem}{{}}.bin" for stem in PICKLE_STEMS.values()))


def open_component(component: Component) -> Part:
    """Open the weight files of a component, safetensors or pickles, without reading a tensor.

    Raises:
        CheckpointError: Files are missing, damaged, or do not belong together.
    """
    files, tensors = _open(component.folder, component.variant)
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


def _open(folder: Path, variant: str | None) -> tuple[list[Path], _Opened]:
    """Return the weight files of a component, and their tensors as one set."""
    infix = f".{variant}" if variant else ""
    pickles = [folder / name.format(infix) for name in _PICKLES]
    pickles = [path for path in pickles if path.is_file()][:1]
    try:
        files = find_weight_files(folder, variant)
    except CheckpointError:
        if any(folder.glob(f"*.safetensors.index{infix}.json")):
            raise  # shards are missing, and pickles beside them would not replace them
        index = [folder / f"{name.format(infix)}.index.json" for name in _PICKLES]
        shards = next((_shards(path) for path in index if path.is_file()), [])
        files = pickles or shards
        if not files:
            raise
    if files[0].suffix == ".ckpt":
        return files, _Opened([MindSporeFile(files[0])])
    if files[0].suffix == ".bin":
        return files, _Opened([TorchFile(path) for path in files])
    return files, _Opened([SafetensorsFiles(files)])


def _shards(index: Path) -> list[Path]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise CheckpointError(f"{index} is not a weight index")
    return [index.parent / name for name in sorted(set(table.values()))]


class _Opened:
    """Several files, seen as one set of tensors."""

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
