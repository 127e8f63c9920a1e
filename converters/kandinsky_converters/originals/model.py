"""Loads ai-forever's folders of Kandinsky 3.0 and 3.1 as models, without converting them first.

A folder holds a UNet for each task and one MoVQ for all of them. Its `flan_ul2_encoder` holds the
text encoder, its tokenizer and the projections. All of this may lie in a subfolder `weights`. The
pipeline says which UNet it needs, so that the UNet gets its own projection. The module is
registered in the group `kandinsky.layouts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kandinsky_converters.component_files import open_component
from kandinsky_converters.originals import kandinsky3_fork
from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.originals.files import PROJECTIONS, open_original
from kandinsky_converters.originals.kandinsky3_fork import adapted
from kandinsky_converters.parts import Part
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component, ConfiguredComponent
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.errors import ModelNotFoundError

__all__ = ["PARTS", "adapted", "adapted_component", "hub_patterns", "open_model"]

_WEIGHTS = "weights"
_ENCODER = "flan_ul2_encoder"
_MOVQ = "movq.pt"


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
        _original("unet", "Kandinsky3UNet", place, variant.unet),
        ConfiguredComponent("scheduler", "", settings["_class_name"], place, settings=settings),
        _original("movq", "VQModel", place, _MOVQ),
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


def _original(name: str, class_name: str, place: Path, file: str) -> Component:
    return _lazy(name, class_name, place, lambda: _opened(name, class_name, place, file))


def _opened(name: str, class_name: str, place: Path, file: str) -> Part:
    path = inside(place, file)
    if not path.is_file():
        there = ", ".join(sorted(path.name for path in place.glob("*.pt"))) or "nothing"
        raise ModelNotFoundError(f"{path} is not there (there is {there}): download it")
    return open_original(path, name, class_name)


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


def adapted_component(component: Component) -> Component | None:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    fork = kandinsky3_fork.is_of_fork(component)
    return kandinsky3_fork.adapted_component(component) if fork else None
