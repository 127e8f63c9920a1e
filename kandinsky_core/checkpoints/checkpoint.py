"""Reads a model folder in diffusers' layout: its components, their classes, configs and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_names import INDEX, NULL_EMBEDDING, NULL_EMBEDDING_FILE
from kandinsky_core.checkpoints.inside import component_name, inside
from kandinsky_core.checkpoints.json_files import read_json
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.other_layouts import other_layouts
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.weight_files import find_weight_files
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError, ModelNotFoundError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["Checkpoint", "Component", "ConfiguredComponent"]

_CONFIG_NAMES = ("config.json", "scheduler_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Component:
    """One entry of `model_index.json`; its config and the headers of its weights are read once."""

    name: str
    library: str
    class_name: str
    folder: Path
    variant: str | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of the component's config file.

        Raises:
            CheckpointError: There is no such file, it lies outside of the model, or it holds no
                JSON object.
        """
        for name in _CONFIG_NAMES:
            if (file := inside(self.folder, name)).exists():
                return read_json(file)
        raise CheckpointError(
            f"component {self.name!r} has no config file in {self.folder}: "
            f"expected one of {', '.join(_CONFIG_NAMES)}"
        )

    def tensors(self) -> Tensors:
        """Open the weight files; see `SafetensorsFiles` and `MindSporeFile`.

        Only the first call reads their headers, unless a file has been replaced in the meantime:
        a text encoder that is loaded for each new text may find another one hours later.

        Raises:
            CheckpointError: The files are missing, damaged or lie outside of the model.
        """
        if not self._opened.unchanged():
            del self.__dict__["_opened"]
        return self._opened.again()

    @cached_property
    def _opened(self) -> SafetensorsFiles | MindSporeFile:
        files = find_weight_files(self.folder, self.variant)
        if files[0].suffix == ".ckpt":
            return MindSporeFile(files[0])
        return SafetensorsFiles(files)

    def null_embedding(self) -> Array | None:
        """Read the vector that Kandinsky 3 takes for an empty text, [cross_attention_dim], or None.

        Raises:
            CheckpointError: The file is damaged or does not fit the network.
        """
        path = inside(self.folder, NULL_EMBEDDING_FILE)
        if not path.is_file():
            return None
        file = SafetensorsFiles([path])
        shape = (self.config.get("cross_attention_dim"),)
        if list(file.names()) != [NULL_EMBEDDING] or file.spec(NULL_EMBEDDING)[0] != shape:
            raise CheckpointError(
                f"{path} must hold {NULL_EMBEDDING!r} alone, of shape {list(shape)}, as "
                "config.json says (cross_attention_dim): take the file that belongs to the weights"
            )
        return file.read(NULL_EMBEDDING)


@dataclass(frozen=True, kw_only=True)
class ConfiguredComponent(Component):
    """A component whose config is given, instead of read from a file in its folder.

    Attributes:
        settings: The config.
    """

    settings: Mapping[str, Any]

    @cached_property
    def config(self) -> dict[str, Any]:
        """A copy of the settings."""
        return dict(self.settings)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint folder in the layout that diffusers saves.

    Attributes:
        folder: The folder.
        name: The model as the user named it: a hub id, a path, or `shapes`.
        pipeline_class: `_class_name` of its `model_index.json`.
        components: Its components by name.
        absent: Names of components that its index leaves out on purpose, with `[null, null]`.
        pickled: Names of components that may be pickles, which a layout's module reads.
    """

    folder: Path
    name: str
    pipeline_class: str
    components: Mapping[str, Component]
    absent: frozenset[str] = frozenset()
    pickled: frozenset[str] = frozenset()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        name: str | None = None,
        variant: str | None = None,
        part: str = "decoder",
    ) -> Checkpoint:
        """Read a folder's `model_index.json`, or recognise a folder of another layout.

        Args:
            folder: The folder.
            name: The model as the user named it.
            variant: Infix of the weight files.
            part: Which model to take from a folder that holds several, as ai-forever's do.

        Raises:
            ModelNotFoundError: The folder has no `model_index.json`, nor original files.
            CheckpointError: The index is no JSON object, or is a link whose target is gone. Or it
                names a component by anything but the plain name of a folder in the model.
        """
        if inside(folder, INDEX).exists():
            found = cls._indexed(folder, name or str(folder), variant)
            for layout in other_layouts("adapted") if found._is_foreign else ():
                found = layout.adapted(found)
            return found
        other = _original(folder, name or str(folder), part)
        if other is not None:
            return other
        other = _original(folder, name or str(folder), "decoder")
        if other is not None:
            raise ModelNotFoundError(
                f"{folder} is a model for {other.pipeline_class}, and holds no {part}"
            )
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFoundError(
            f"{folder} is no model folder: it has no model_index.json (it has: {there}); "
            "give the folder that diffusers' save_pretrained wrote, or ai-forever's of 2.0, 3.0 or "
            "3.1"
        )

    @classmethod
    def _indexed(cls, folder: Path, name: str, variant: str | None) -> Checkpoint:
        file = folder / INDEX
        index = read_json(file)
        pipeline_class = index.get("_class_name", "None")
        if not isinstance(pipeline_class, str):
            raise CheckpointError(
                f"{file}: _class_name is {pipeline_class!r}; allowed: the name of a pipeline class"
            )
        components = {
            key: Component(key, value[0], value[1], inside(folder, key), variant)
            for key, value in index.items()
            if not key.startswith("_") and _names_component(value) and component_name(file, key)
        }
        absent = frozenset(key for key, value in index.items() if value == [None, None])
        return cls(folder, name, pipeline_class, components, absent)

    @property
    def _is_foreign(self) -> bool:
        """Whether it has a class under the name of diffusers that this library does not know."""
        return any(
            part.library == "diffusers"
            and part.class_name not in NETWORKS
            and not part.class_name.endswith("Scheduler")
            for part in self.components.values()
        )

    @property
    def has_index(self) -> bool:
        """Whether the folder is in diffusers' layout, where an index lists the components."""
        return (self.folder / INDEX).is_file()

    def require(self, names: Iterable[str]) -> dict[str, Component]:
        """Return components by name.

        Raises:
            CheckpointError: The checkpoint names no such component, or lacks its folder. One
                message names all such components.
        """
        names = list(names)
        unnamed = [name for name in names if name not in self.components]
        if unnamed:
            raise CheckpointError(
                f"{self.name} is a {self.pipeline_class} without {', '.join(unnamed)} (it has "
                f"{', '.join(self.components)}): is it the model for this pipeline?"
            )
        absent = [name for name in names if not self.components[name].folder.is_dir()]
        if absent:
            raise CheckpointError(
                f"{self.folder} lacks the folders of {', '.join(absent)}, which its "
                "model_index.json names: copy or download the checkpoint whole"
            )
        return {name: self.components[name] for name in names}


def _names_component(value: Any) -> bool:
    """Tell `["diffusers", "VQModel"]` from plain settings and from absent components."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)


def _original(folder: Path, name: str, part: str) -> Checkpoint | None:
    """Return what a layout other than diffusers' has in a folder for a part."""
    found = (layout.open_model(folder, name, part) for layout in other_layouts())
    return next((made for made in found if made is not None), None)
