"""Loads ai-forever's folders of Kandinsky 3.0 and 3.1 as models, without converting them first.

A folder holds a UNet for each task and one MoVQ for all of them. Its `flan_ul2_encoder` holds the
text encoder, its tokenizer and the projections. All of this may lie in a subfolder `weights`. The
pipeline says which UNet it needs, so that the UNet gets its own projection. The module is
registered in the group `kandinsky.layouts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kandinsky_converters.component_files import open_component
from kandinsky_converters.originals.files import PROJECTIONS, open_originals
from kandinsky_converters.parts import Part, Source
from kandinsky_core.arrays import Array
from kandinsky_core.budgets import TOKENIZER_BYTES
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component, ConfiguredComponent
from kandinsky_core.checkpoints.hub import HubOptions, resolve_model
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.regular_files import read_bounded
from kandinsky_core.errors import InvalidInputError, ModelNotFoundError
from kandinsky_core.seam.tensors import Tensors

__all__ = ["PARTS", "OriginalComponent", "hub_patterns", "open_model", "open_original_source"]

_WEIGHTS = "weights"
_ENCODER = "flan_ul2_encoder"
_MOVQ = "movq.pt"
_LIBRARIES = {"text_encoder": "transformers", "tokenizer": "transformers"}
_TOKENIZER_FILES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
)


@dataclass(frozen=True, slots=True)
class _Variant:
    """The UNet, pipeline and scheduler of one task.

    Attributes:
        unet: Name of the UNet's file.
        pipeline: Class of the pipeline.
        scheduler: Config of the scheduler.
    """

    unet: str
    pipeline: str
    scheduler: Mapping[str, Any]


PARTS = {
    "decoder": _Variant(
        "kandinsky3.pt", "Kandinsky3Pipeline", {"_class_name": "Kandinsky3Scheduler"}
    ),
    "flash": _Variant(
        "kandinsky3_flash.pt",
        "Kandinsky3FlashPipeline",
        {"_class_name": "Kandinsky3FlashScheduler"},
    ),
    "inpaint": _Variant(
        "kandinsky3_inpainting.pt",
        "Kandinsky3InpaintPipeline",
        {"_class_name": "Kandinsky3Scheduler", "percentile": 0.95},
    ),
}
"""The variant for each `part` that a pipeline asks for."""


@dataclass(frozen=True, kw_only=True)
class OriginalComponent(Component):
    """A component whose files are opened when it is first used.

    Attributes:
        opened: Opens the files.
    """

    opened: Callable[[], Part]

    @cached_property
    def part(self) -> Part:
        """The component in the form that the converter takes."""
        return self.opened()

    @property
    def config(self) -> dict[str, Any]:
        """See `Component.config`; a component without a config file has the published config."""
        return dict(self.part.config)

    def tensors(self) -> Tensors:
        """Return the weights under diffusers' names."""
        return self.part.tensors

    def null_embedding(self) -> Array | None:
        """See `Component.null_embedding`."""
        return self.part.null_embedding


def open_model(folder: Path, name: str, part: str) -> Checkpoint | None:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    weights = inside(folder, _WEIGHTS)
    place = weights if weights.is_dir() else folder
    encoder = inside(place, _ENCODER)
    unets = [variant.unet for variant in PARTS.values() if (place / variant.unet).is_file()]
    if part not in PARTS or not (unets or (encoder / "config.json").is_file()):
        return None
    variant = PARTS[part]
    settings = variant.scheduler
    found: list[Component] = [
        _lazy("unet", "Kandinsky3UNet", place, lambda: _original(place, variant.unet, "unet")),
        ConfiguredComponent("scheduler", "", settings["_class_name"], place, settings=settings),
        _lazy("movq", "VQModel", place, lambda: _original(place, _MOVQ, "movq")),
    ]
    if (encoder / "config.json").is_file():
        source = Component("text_encoder", "", "T5EncoderModel", encoder)
        found += [
            _lazy(source.name, source.class_name, encoder, lambda: open_component(source)),
            Component("tokenizer", "", "T5Tokenizer", encoder),
        ]
    return Checkpoint(folder, name, variant.pipeline, {item.name: item for item in found})


def _lazy(name: str, class_name: str, folder: Path, opened: Callable[[], Part]) -> Component:
    return OriginalComponent(name, "", class_name, folder, opened=opened)


def _original(place: Path, file: str, component: str) -> Part:
    path = inside(place, file)
    if not path.is_file():
        there = ", ".join(sorted(path.name for path in place.glob("*.pt"))) or "nothing"
        raise ModelNotFoundError(f"{path} is not there (there is {there}): download it")
    (part,) = open_originals(str(path), [path], [component]).parts
    return part


def hub_patterns(part: str, components: Iterable[str]) -> list[str]:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    if part not in PARTS:
        return []
    patterns = [f"{_WEIGHTS}/{_ENCODER}/config.json"]  # it shows which repository this is
    unet = PARTS[part].unet
    files = {
        "unet": [unet, f"{_ENCODER}/{PROJECTIONS[Path(unet).stem]}"],
        "movq": [_MOVQ],
        "tokenizer": [f"{_ENCODER}/*.json", f"{_ENCODER}/*.model"],
        "text_encoder": [f"{_ENCODER}/*.bin", f"{_ENCODER}/*.json"],
    }
    return patterns + [
        f"{_WEIGHTS}/{file}" for component in components for file in files.get(component, [])
    ]


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
    model = open_model(folder, str(source), part)
    if model is None:
        raise ModelNotFoundError(f"{source} holds no original files of Kandinsky 3")
    found = [name for name in networks if name in model.components]
    opened = [
        replace(component.part, folder=None)
        for name, component in model.components.items()
        if name in found and name in wanted and isinstance(component, OriginalComponent)
    ]
    return Source(
        name=str(source),
        subfolder="",
        folder=None,
        parts=opened,
        others=(),
        available=found,
        made={} if components else _made(model),
    )


def _made(model: Checkpoint) -> dict[str, bytes]:
    """Return the small files that a model folder needs; none where it has no tokenizer."""
    if "tokenizer" not in model.components:
        return {}
    index = {"_class_name": model.pipeline_class} | {
        name: [_LIBRARIES.get(name, "diffusers"), component.class_name]
        for name, component in sorted(model.components.items())
    }
    files = {
        "model_index.json": index,
        "scheduler/scheduler_config.json": model.components["scheduler"].config,
    }
    texts = {name: (json.dumps(data, indent=2) + "\n").encode() for name, data in files.items()}
    folder = model.components["tokenizer"].folder
    names = [name for name in _TOKENIZER_FILES if inside(folder, name).exists()]
    contents = {f"tokenizer/{name}": read_bounded(folder / name, TOKENIZER_BYTES) for name in names}
    return {**texts, **contents}
