"""Opens folders and repositories of original files as models that are converted as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kandinsky_converters.originals import model as kandinsky3
from kandinsky_converters.originals import upscaler
from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.parts import Source
from kandinsky_core.budgets import TOKENIZER_BYTES
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions, resolve_model
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.regular_files import read_bounded
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import InvalidInputError, ModelNotFoundError

__all__ = ["PARTS", "open_original_source", "original_source"]

PARTS: Mapping[str, str] = {
    **dict.fromkeys(kandinsky3.PARTS, "Kandinsky 3"),
    **dict.fromkeys(upscaler.PARTS, "KandiSuperRes"),
}
"""The parts that a model of original files may be asked for, and whose files these are."""

_NETWORKS = ("unet", "movq", "text_encoder", "image_encoder")
_TOKENIZER_FILES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
)


def open_original_source(
    source: str | Path, part: str, options: HubOptions, components: Sequence[str]
) -> Source:
    """Open a folder, or a repository on the hub, as a model that is converted as a whole.

    Raises:
        InvalidInputError: There is no such part.
        ModelNotFoundError: There is no such folder, or it holds no original files.
    """
    if part not in PARTS:
        raise InvalidInputError(f"part {part!r}: choose {', '.join(PARTS)}")
    wanted = [*(components or (*_NETWORKS, "tokenizer"))]
    folder = resolve_model(source, part, options, wanted)
    opener = kandinsky3 if part in kandinsky3.PARTS else upscaler
    model = opener.open_model(folder, str(source), part)
    if model is None:
        raise ModelNotFoundError(f"{source} holds no original files of {PARTS[part]}")
    return original_source(model, components)


def original_source(model: Checkpoint, components: Sequence[str]) -> Source:
    """Return a model whose files have the authors' names, as it is converted as a whole.

    Args:
        model: The model, with its files on this machine.
        components: Names of the only components wanted; all when empty.
    """
    found = [name for name in _NETWORKS if name in model.components]
    opened = [
        replace(component.part, folder=None)
        for name, component in model.components.items()
        if name in found
        and (not components or name in components)
        and isinstance(component, OriginalComponent)
    ]
    return Source(
        name=model.name,
        subfolder="",
        folder=None,
        parts=opened,
        others=(),
        available=found,
        made={} if components else _made(model),
    )


def _made(model: Checkpoint) -> dict[str, bytes]:
    """Return the small files that a model folder needs; none where its tokenizer is missing."""
    if "movq" in model.components and "tokenizer" not in model.components:
        return {}
    index = {"_class_name": model.pipeline_class} | {
        name: [_library(component.class_name), component.class_name]
        for name, component in sorted(model.components.items())
    }
    files = {
        "model_index.json": index,
        "scheduler/scheduler_config.json": model.components["scheduler"].config,
    }
    if "feature_extractor" in model.components:
        settings = model.components["feature_extractor"].config
        files["feature_extractor/preprocessor_config.json"] = settings
    texts = {name: (json.dumps(data, indent=2) + "\n").encode() for name, data in files.items()}
    if "tokenizer" not in model.components:
        return texts
    folder = model.components["tokenizer"].folder
    names = [name for name in _TOKENIZER_FILES if inside(folder, name).exists()]
    contents = {f"tokenizer/{name}": read_bounded(folder / name, TOKENIZER_BYTES) for name in names}
    return {**texts, **contents}


def _library(class_name: str) -> str:
    """Return what `model_index.json` names beside a class."""
    if class_name.startswith(("T5Tokenizer", "CLIPImageProcessor")):
        return "transformers"
    return NETWORKS[class_name].library if class_name in NETWORKS else "diffusers"
