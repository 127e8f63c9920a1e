"""Loads the files of ai-forever/KandiSuperRes as models, without converting them first.

A folder, or the repository on the hub, holds one file for each scale and one for Flash. The module
is registered in the group `kandinsky.layouts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kandinsky_converters.originals.component import OriginalComponent
from kandinsky_converters.originals.files import open_original
from kandinsky_converters.parts import Part
from kandinsky_core.checkpoints.checkpoint import Checkpoint, ConfiguredComponent
from kandinsky_core.checkpoints.inside import inside

__all__ = ["PARTS", "hub_patterns", "open_model"]

_USUAL = {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "sample"}
_FLASH = {
    "_class_name": "Kandinsky3FlashScheduler",
    "beta_schedule": "linear",
    "prediction_type": "sample",
}


@dataclass(frozen=True, slots=True)
class _Variant:
    """The file, pipeline and scheduler of one scale."""

    file: str
    pipeline: str
    scheduler: Mapping[str, Any]


PARTS = {
    "upscaler": _Variant("KandiSuperRes.ckpt", "KandinskySuperResPipeline", _USUAL),
    "upscaler_x2": _Variant("KandiSuperRes_x2.ckpt", "KandinskySuperResPipeline", _USUAL),
    "upscaler_flash": _Variant(
        "KandiSuperRes_flash_x2.pt", "KandinskySuperResFlashPipeline", _FLASH
    ),
}
"""The variant for each `part` that a pipeline asks for."""


def open_model(folder: Path, name: str, part: str) -> Checkpoint | None:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    if part not in PARTS:
        return None
    variant = PARTS[part]
    path = inside(folder, variant.file)
    if not path.is_file():
        return None

    def opened() -> Part:
        return open_original(path, "unet", "KandinskySuperResUNet")

    scheduler = dict(variant.scheduler)
    components = (
        OriginalComponent("unet", "", "KandinskySuperResUNet", folder, opened=opened),
        ConfiguredComponent("scheduler", "", scheduler["_class_name"], folder, settings=scheduler),
    )
    return Checkpoint(folder, name, variant.pipeline, {item.name: item for item in components})


def hub_patterns(part: str, components: Iterable[str]) -> list[str]:
    """See `kandinsky_core.checkpoints.other_layouts`."""
    return [PARTS[part].file] if part in PARTS and "unet" in components else []
