"""Opens a conversion's source: a folder in diffusers' layout or ours, or ai-forever's files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kandinsky_converters.component_files import open_component
from kandinsky_converters.originals.files import open_originals
from kandinsky_converters.originals.whole_models import (
    adapted_source,
    open_original_source,
    parts_in,
)
from kandinsky_converters.parts import ORIGINAL_SUFFIXES, Source
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component, ConfiguredComponent
from kandinsky_core.checkpoints.hub import EMBEDDED, HubOptions, fetch_pickles, local_folder
from kandinsky_core.checkpoints.inside import component_name, inside
from kandinsky_core.checkpoints.json_files import read_json
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.checkpoints.user_paths import user_path
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError, InvalidInputError, ModelNotFoundError

__all__ = ["REPORT", "open_source"]

REPORT = "conversion.json"
_WEIGHTLESS = ("feature_extractor", "image_processor", "scheduler", "tokenizer")


def open_source(
    source: str | Path,
    options: HubOptions,
    components: Sequence[str] = (),
    part: str | None = None,
) -> list[Source]:
    """Find out what a source is and open its weight files, without reading a tensor.

    Args:
        source: A hub id, a folder, an original file, or an embedded model's name. A folder may
            hold a model, several models (the halves `prior` and `decoder`), an earlier conversion,
            one network, or original files.
        options: How to fetch from the hub.
        components: Names of the only components wanted; all when empty.
        part: Which of several models to take from a folder or repository of originals, as
            `originals.whole_models.PARTS` names them. Without it each file is a single network.

    Returns:
        One source, or one for each folder of several models.

    Raises:
        ModelNotFoundError: No model or file has that name.
        CheckpointError: Files are damaged, missing or of another model.
        InvalidInputError: The source has no such component.
    """
    path = EMBEDDED.get(str(source)) or user_path(source)
    if part is not None:
        found = [open_original_source(source, part, options, components)]
    elif path.is_file():
        found = [open_originals(str(source), [path], components)]
    elif not path.is_dir() or inside(path, "model_index.json").is_file():
        found = [_named_model(source, options, components)]
    elif halves := _subfolders(path, "model_index.json"):
        opened = {half.name: Checkpoint.open(half, variant=options.variant) for half in halves}
        found = [_model(str(source), half, opened[half], components) for half in opened]
    else:
        found = _folder_without_index(str(source), path, components)
    available = [name for item in found for name in item.available]
    absent = [name for name in components if name not in available]
    if absent or not available:
        raise InvalidInputError(
            f"{source} has no {', '.join(absent) or 'weights'} to convert; "
            f"it has {', '.join(available) or 'none'}"
        )
    return [item for item in found if item.parts]


def _subfolders(folder: Path, holding: str) -> list[Path]:
    """Return the folders within a folder that hold a file; each may be a link that a user made."""
    found = sorted(path.parent for path in folder.glob(f"*/{holding}"))
    return [place for place in found if not place.name.startswith(".")]


def _named_model(name: str | Path, options: HubOptions, wanted: Sequence[str]) -> Source:
    """Open a folder with a model_index.json; a model on the hub is fetched first."""
    opened = OpenedModel.of(name, "decoder", options)
    if local_folder(name) is None:
        names = _wanted(opened.checkpoint.components, wanted)
        opened.fetch(names)
        unread = [part for part in names if part not in opened.checkpoint.pickled]
        without = [part for part in unread if not _has_weights(inside(opened.folder, part))]
        fetch_pickles(str(name), options, without)
    return _model(str(name), "", opened.checkpoint, wanted)


def _model(name: str, half: str, index: Checkpoint, wanted: Sequence[str]) -> Source:
    """Open a folder with a model_index.json whose files are all on this machine."""
    folder = index.folder
    names = _wanted(index.components, wanted)
    index.require(names)
    if index.pickled:
        return adapted_source(index, name, half, wanted)
    parts = [
        open_component(index.components[part])
        for part in names
        if _has_weights(index.components[part].folder)
    ]
    if wanted:
        available = [part for part in index.components if part not in _WEIGHTLESS]
    else:
        available = [part.name for part in parts]
    return Source(
        name=name,
        subfolder=half,
        folder=folder,
        parts=parts,
        others=_others(folder, names, wanted),
        available=available,
    )


def _wanted(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    return [name for name in names if not wanted or name in wanted]


def _has_weights(folder: Path) -> bool:
    kinds = ("*.safetensors", "*.ckpt", "*model*.bin", "*.index*.json")
    return any(any(folder.glob(kind)) for kind in kinds)


def _others(folder: Path, names: Iterable[str], wanted: Sequence[str]) -> list[Path]:
    """Return all files that are no weights: configs, tokenizers, schedulers, the card.

    Raises:
        CheckpointError: One of them is a link that leads out of the folder, or to nothing.
    """
    paths = [path for name in names for path in sorted((folder / name).rglob("*"))]
    if not wanted:
        paths += [folder / name for name in ("model_index.json", "README.md")]
    files = [path.relative_to(folder) for path in paths if _is_light(path)]
    return [path for path in files if inside(folder, path.as_posix()).is_file()]


def _is_light(path: Path) -> bool:
    weights = (".safetensors", ".msgpack", ".onnx", ".h5", *ORIGINAL_SUFFIXES)
    return path.suffix not in weights and ".index." not in path.name


def _folder_without_index(name: str, folder: Path, wanted: Sequence[str]) -> list[Source]:
    """Open a folder without an index: single converted networks, or original files."""
    places = {place.name: place for place in _subfolders(folder, REPORT)}
    if inside(folder, REPORT).is_file():
        places = {"": folder}
    if places:
        return [_components(name, half, place, wanted) for half, place in places.items()]
    if component := _single_component(folder):
        return [_single(name, component, wanted)]
    found = sorted(path.name for path in folder.iterdir() if path.suffix in ORIGINAL_SUFFIXES)
    files = [inside(folder, name) for name in found]
    if not files:
        for family, parts in parts_in(folder).items():
            raise InvalidInputError(
                f"{name} holds models of {family}: say which one by --part, {', '.join(parts)}"
            )
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFoundError(
            f"{folder} is nothing to convert: it has no model_index.json, no {REPORT}, no "
            "config.json of a network and no original file "
            f"({', '.join(ORIGINAL_SUFFIXES)}); it has: {there}"
        )
    return [open_originals(name, files, wanted)]


def _single_component(folder: Path) -> Component | None:
    """Return the network that a folder holds alone, as ai-forever's `flan_ul2_encoder` does."""
    file = inside(folder, "config.json")
    if not file.is_file():
        return None
    config = read_json(file)
    names = config.get("architectures")
    class_name = config.get("_class_name") or (
        names[0] if isinstance(names, list) and names else ""
    )
    if not isinstance(class_name, str) or class_name not in NETWORKS:
        return None
    return ConfiguredComponent(NETWORKS[class_name].folder, "", class_name, folder, settings=config)


def _single(name: str, component: Component, wanted: Sequence[str]) -> Source:
    wants = not wanted or component.name in wanted
    return Source(
        name=name,
        subfolder="",
        folder=None,
        # folder=None: its config is written anew, and no other file there is copied
        parts=[replace(open_component(component), folder=None)] if wants else [],
        others=(),
        available=[component.name],
    )


def _components(name: str, half: str, folder: Path, wanted: Sequence[str]) -> Source:
    """Open the components that a conversion.json names."""
    report = inside(folder, REPORT)
    named = read_json(report).get("components")
    if not isinstance(named, dict) or not all(isinstance(entry, dict) for entry in named.values()):
        raise CheckpointError(f"{report} is no report of a conversion")
    names = [component_name(report, part) for part in _wanted(named, wanted)]
    parts = [
        open_component(Component(part, "", str(named[part].get("class")), inside(folder, part)))
        for part in names
    ]
    return Source(
        name=name,
        subfolder=half,
        folder=folder,
        parts=parts,
        others=_others(folder, names, names),
        available=list(named),
    )
