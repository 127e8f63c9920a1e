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

__all__ = ["PARTS", "adapted_source", "open_original_source"]

PARTS: Mapping[str, str] = {
    **dict.fromkeys(kandinsky3.PARTS, "Kandinsky 3"),
    **dict.fromkeys(upscaler.PARTS, "KandiSuperRes"),
}
"""The parts that a model of original files may be asked for, and whose files these are."""

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
    networks = ("unet", "movq", "text_encoder")
    wanted = [*(components or (*networks, "tokenizer"))]
    folder = resolve_model(source, part, options, wanted)
    opener = kandinsky3 if part in kandinsky3.PARTS else upscaler
    model = opener.open_model(folder, str(source), part)
    if model is None:
        raise ModelNotFoundError(f"{source} holds no original files of {PARTS[part]}")
    return adapted_source(model, str(source), "", components)


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
    texts = {name: (json.dumps(data, indent=2) + "\n").encode() for name, data in files.items()}
    if "tokenizer" not in model.components:
        return texts
    folder = model.components["tokenizer"].folder
    names = [name for name in _TOKENIZER_FILES if inside(folder, name).exists()]
    contents = {f"tokenizer/{name}": read_bounded(folder / name, TOKENIZER_BYTES) for name in names}
    return {**texts, **contents}


def _library(class_name: str) -> str:
    """Return what `model_index.json` names beside a class."""
    if class_name.startswith("T5Tokenizer"):
        return "transformers"
    return NETWORKS[class_name].library if class_name in NETWORKS else "diffusers"
