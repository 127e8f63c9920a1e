"""Opens folders and repositories of original files as models that are converted as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kandinsky_converters.originals import kandinsky2_0_model as kandinsky2_0
from kandinsky_converters.originals import model as kandinsky3
from kandinsky_converters.originals import upscaler
from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.parts import Source
from kandinsky_core.budgets import TOKENIZER_BYTES
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.file_names import INDEX
from kandinsky_core.checkpoints.hub import HubOptions, local_folder, resolve_model
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.regular_files import read_bounded
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError, ModelNotFoundError

__all__ = ["PARTS", "adapted_source", "open_original_source", "parts_in"]

_OPENERS: Mapping[str, Any] = {
    "Kandinsky 2.0": kandinsky2_0,
    "Kandinsky 3": kandinsky3,
    "KandiSuperRes": upscaler,
}

PARTS_OF: Mapping[str, tuple[str, ...]] = {
    family: tuple(opener.PARTS) for family, opener in _OPENERS.items()
}
"""The parts that a model of original files may be asked for, by its family."""

PARTS: Mapping[str, str] = {
    part: " or ".join(family for family, parts in PARTS_OF.items() if part in parts)
    for parts in PARTS_OF.values()
    for part in parts
}
"""The parts that a model of original files may be asked for, and whose files these are."""

_TOKENIZER_FILES = (
    "added_tokens.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
)
_VOCABULARIES = ("tokenizer.json", "spiece.model")


def open_original_source(
    source: str | Path, part: str, options: HubOptions, components: Sequence[str]
) -> Source:
    """Open a folder, or a repository on the hub, as a model that is converted as a whole.

    Raises:
        InvalidInputError: There is no such part, or the folder's family has none of this name.
        ModelNotFoundError: There is no such folder, or it holds no original files.
    """
    place = local_folder(source)
    if place is not None and (place / INDEX).is_file():
        raise InvalidInputError(
            f"part {part!r}: {source} is one model, as its {INDEX} says; leave the part out"
        )
    known = {} if place is None else parts_in(place)
    if part not in PARTS or (known and not any(part in parts for parts in known.values())):
        held = f"{source} holds {' and '.join(known)}; " if known else ""
        choices = dict.fromkeys(name for parts in (known or PARTS_OF).values() for name in parts)
        raise InvalidInputError(f"part {part!r}: {held}choose {', '.join(choices)}")
    networks = ("unet", "movq", "vae", "text_encoder", "text_encoder_2")
    wanted = [*(components or (*networks, "tokenizer", "tokenizer_2"))]
    folder = resolve_model(source, part, options, wanted)
    openers = (opener for opener in _OPENERS.values() if part in opener.PARTS)
    found_models = (opener.open_model(folder, str(source), part) for opener in openers)
    model = next((found for found in found_models if found is not None), None)
    if model is None:
        raise ModelNotFoundError(f"{source} holds no original files of {PARTS[part]}")
    return adapted_source(model, str(source), "", components)


def parts_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the families whose original files a folder holds, each with all of its parts."""
    return {
        family: PARTS_OF[family]
        for family, opener in _OPENERS.items()
        if any(opener.open_model(folder, str(folder), part) for part in opener.PARTS)
    }


def adapted_source(model: Checkpoint, name: str, half: str, wanted: Sequence[str]) -> Source:
    """Return a model of original files as a source, whose small files are written anew.

    Args:
        model: The model; its networks are `OriginalComponent`.
        name: The model as the user named it.
        half: Subfolder of the output.
        wanted: Names of the only components wanted; all when empty.
    """
    networks = {
        key: component
        for key, component in model.components.items()
        if isinstance(component, OriginalComponent)
    }
    return Source(
        name=name,
        subfolder=half,
        folder=None,
        parts=[
            replace(component.part, folder=None)
            for key, component in networks.items()
            if not wanted or key in wanted
        ],
        others=(),
        available=list(networks),
        made={} if wanted else _made(model),
    )


def _made(model: Checkpoint) -> dict[str, bytes]:
    """Return the small files that a model folder needs; none where its tokenizer is missing."""
    if "movq" in model.components and "tokenizer" not in model.components:
        return {}
    entries: dict[str, list[str | None]] = {name: [None, None] for name in model.absent}
    for name, component in model.components.items():
        entries[name] = [_library(component.class_name), component.class_name]
    index = {"_class_name": model.pipeline_class, **dict(sorted(entries.items()))}
    files = {
        "model_index.json": index,
        "scheduler/scheduler_config.json": model.components["scheduler"].config,
    }
    if "feature_extractor" in model.components:
        settings = model.components["feature_extractor"].config
        files["feature_extractor/preprocessor_config.json"] = settings
    texts = {name: (json.dumps(data, indent=2) + "\n").encode() for name, data in files.items()}
    for tokenizer in ("tokenizer", "tokenizer_2"):
        if tokenizer in model.components:
            folder = model.components[tokenizer].folder
            if not any((folder / name).is_file() for name in _VOCABULARIES):
                raise ModelNotFoundError(
                    f"{folder} holds no tokenizer ({' or '.join(_VOCABULARIES)}): download it too"
                )
            for name in _TOKENIZER_FILES:
                if inside(folder, name).exists():
                    texts[f"{tokenizer}/{name}"] = read_bounded(folder / name, TOKENIZER_BYTES)
    return texts


def _library(class_name: str) -> str:
    """Return what `model_index.json` names beside a class."""
    if class_name.endswith(("Tokenizer", "TokenizerFast", "CLIPImageProcessor")):
        return "transformers"
    return NETWORKS[class_name].library if class_name in NETWORKS else "diffusers"
