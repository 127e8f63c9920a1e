"""What can be converted: folders in diffusers' layout, our own, and ai-forever's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters.layouts import with_layout
from converters.original_sources import open_originals
from converters.parts import NULL_EMBEDDING, ORIGINAL_SUFFIXES, Part, Source
from kandinsky_core.checkpoint import Checkpoint, Component, read_json
from kandinsky_core.errors import CheckpointError, InvalidInputError, ModelNotFoundError
from kandinsky_core.hub import EMBEDDED, HubOptions, fetch_pickles, resolve_model
from kandinsky_core.interfaces import Array, Tensors
from kandinsky_core.mindspore_files import MindSporeFile
from kandinsky_core.torch_files import TorchFile
from kandinsky_core.weights import SafetensorsFiles, find_weight_files

__all__ = ["REPORT", "open_source"]

REPORT = "conversion.json"
_WEIGHTLESS = ("feature_extractor", "image_processor", "scheduler", "tokenizer")
# The folder's name in a pipeline for each network.
_FOLDERS = {
    "CLIPTextModelWithProjection": "text_encoder",
    "CLIPVisionModelWithProjection": "image_encoder",
    "Kandinsky3UNet": "unet",
    "MultilingualCLIP": "text_encoder",
    "PriorTransformer": "prior",
    "T5EncoderModel": "text_encoder",
    "UNet2DConditionModel": "unet",
    "VQModel": "movq",
}
_PICKLES = ("diffusion_pytorch_model{}.bin", "pytorch_model{}.bin")


def open_source(
    source: str | Path, options: HubOptions, components: Sequence[str] = ()
) -> list[Source]:
    """Find out what a source is, and open the weight files, without reading a tensor.

    Args:
        source: A hub id, a folder, an original file, or an embedded model's name. A folder may
            hold a model, several (its halves, `prior` and `decoder`), what we converted before,
            one network, or original files.
        options: How to fetch from the hub.
        components: Names of the only ones wanted; all when empty.

    Returns:
        One source, or one for each folder of several.

    Raises:
        ModelNotFoundError: There is nothing of that name.
        CheckpointError: Files are damaged, missing or of another model.
        InvalidInputError: It has no such component.
    """
    path = EMBEDDED.get(str(source)) or Path(source).expanduser()
    if path.is_file():
        found = [open_originals(str(source), [path], components)]
    elif not path.is_dir() or (path / "model_index.json").is_file():
        folder = resolve_model(source, "decoder", options, ())
        found = [_model(str(source), "", folder, options, components)]
    elif parts := _subfolders(path, "model_index.json"):
        found = [_model(str(source), part.name, part, options, components) for part in parts]
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
    return sorted(path.parent for path in folder.glob(f"*/{holding}"))


def _model(
    name: str, half: str, folder: Path, options: HubOptions, wanted: Sequence[str]
) -> Source:
    """A folder with a model_index.json; the rest of it is fetched where it lies on the hub."""
    index = Checkpoint.open(folder, variant=options.variant)
    names = _wanted(index.components, wanted)
    if name not in EMBEDDED and not Path(name).expanduser().is_dir():
        folder = resolve_model(name, "decoder", options, names)
        fetch_pickles(name, options, [part for part in names if not _has_weights(folder / part)])
        index = Checkpoint.open(folder, variant=options.variant)
    index.require(names)
    parts = [
        _part(index.components[part])
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
    """Everything but weights: configs, tokenizers, schedulers, the card."""
    files = [
        path.relative_to(folder)
        for name in names
        for path in sorted((folder / name).rglob("*"))
        if path.is_file() and _is_light(path)
    ]
    if not wanted:
        top = (folder / name for name in ("model_index.json", "README.md"))
        files += [path.relative_to(folder) for path in top if path.is_file()]
    return files


def _is_light(path: Path) -> bool:
    weights = (".safetensors", ".msgpack", ".onnx", ".h5", *ORIGINAL_SUFFIXES)
    return path.suffix not in weights and ".index." not in path.name


def _part(component: Component) -> Part:
    files, tensors = _open(component.folder, component.variant)
    path = component.folder / f"{NULL_EMBEDDING}.safetensors"
    null = _null_embedding(path, component.config) if path.is_file() else None
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


def _null_embedding(path: Path, config: Mapping[str, Any]) -> Array:
    file = SafetensorsFiles([path])
    shape = (config.get("cross_attention_dim"),)
    if list(file.names()) != [NULL_EMBEDDING] or file.spec(NULL_EMBEDDING)[0] != shape:
        raise CheckpointError(
            f"{path} must hold {NULL_EMBEDDING!r} alone, of shape {list(shape)}, as config.json "
            "says (cross_attention_dim): take the file that belongs to the weights"
        )
    return file.read(NULL_EMBEDDING)


def _open(folder: Path, variant: str | None) -> tuple[list[Path], _Opened]:
    """The weight files of a component and what they hold, be they safe or pickles."""
    infix = f".{variant}" if variant else ""
    pickles = [folder / name.format(infix) for name in _PICKLES]
    pickles = [path for path in pickles if path.is_file()][:1]
    try:
        files = find_weight_files(folder, variant)
    except CheckpointError:
        if any(folder.glob(f"*.safetensors.index{infix}.json")):
            raise  # shards are missing: pickles beside them are no remedy
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
    """Several files as one set of tensors."""

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


def _folder_without_index(name: str, folder: Path, wanted: Sequence[str]) -> list[Source]:
    """What we converted without the rest of its model, or original files."""
    places = {place.name: place for place in _subfolders(folder, REPORT)}
    if (folder / REPORT).is_file():
        places = {"": folder}
    if places:
        return [_components(name, half, place, wanted) for half, place in places.items()]
    if component := _single_component(folder):
        return [_single(name, component, wanted)]
    files = sorted(path for path in folder.iterdir() if path.suffix in ORIGINAL_SUFFIXES)
    if not files:
        inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ModelNotFoundError(
            f"{folder} is nothing to convert: it has no model_index.json, no {REPORT}, no "
            "config.json of a network and no original file "
            f"({', '.join(ORIGINAL_SUFFIXES)}); it has: {inside}"
        )
    return [open_originals(name, files, wanted)]


def _single_component(folder: Path) -> Component | None:
    """What the folder of one network holds, ai-forever's `flan_ul2_encoder` for example."""
    if not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json")
    names = config.get("architectures")
    class_name = config.get("_class_name") or (
        names[0] if isinstance(names, list) and names else ""
    )
    if class_name not in _FOLDERS:
        return None
    return Component(_FOLDERS[class_name], "", class_name, folder)


def _single(name: str, component: Component, wanted: Sequence[str]) -> Source:
    wants = not wanted or component.name in wanted
    return Source(
        name=name,
        subfolder="",
        folder=None,
        # Without a folder its config is written anew, and nothing else there is copied.
        parts=[replace(_part(component), folder=None)] if wants else [],
        others=(),
        available=[component.name],
    )


def _components(name: str, half: str, folder: Path, wanted: Sequence[str]) -> Source:
    """The components that a conversion.json names."""
    named = read_json(folder / REPORT).get("components")
    if not isinstance(named, dict) or not all(isinstance(entry, dict) for entry in named.values()):
        raise CheckpointError(f"{folder / REPORT} is no report of a conversion")
    names = _wanted(named, wanted)
    parts = [
        _part(Component(part, "", str(named[part].get("class")), folder / part)) for part in names
    ]
    return Source(
        name=name,
        subfolder=half,
        folder=folder,
        parts=parts,
        others=_others(folder, names, names),
        available=list(named),
    )
