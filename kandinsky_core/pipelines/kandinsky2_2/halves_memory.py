"""Whether a device would hold both halves of a combined pipeline, asked before either is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions, resolve_model
from kandinsky_core.configs import NETWORKS
from kandinsky_core.memory.check import require_room
from kandinsky_core.memory.plan import ComponentMemory
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import chosen_dtype
from kandinsky_core.seam.registry import chosen_backend

__all__ = ["Half", "require_room_for_halves"]

_DTYPES = ("dtype", "torch_dtype", "mindspore_dtype", "mindspore")


@dataclass(frozen=True, slots=True)
class Half:
    """What one half is loaded from.

    Attributes:
        pipeline: Its class.
        model: Its name, as `from_pretrained` takes it.
        options: What `from_pretrained` is given besides.
        ready: Components that are there already.
        prefix: Of its components' names in the whole.
    """

    pipeline: type[DiffusionPipeline]
    model: str | Path
    options: Mapping[str, Any]
    ready: Mapping[str, Any]
    prefix: str = ""


def require_room_for_halves(*halves: Half) -> None:
    """See `kandinsky_core.memory.check.require_room`; options are alike in both halves.

    Raises:
        KandinskyError: As `from_pretrained` raises.
    """
    options = halves[0].options
    if options.get("mesh") is not None:
        return  # nothing is said of a mesh
    chosen = chosen_backend(options.get("backend"), None, options.get("device"))
    places = {
        half.prefix + name: _place(half, name)
        for half in halves
        for name in half.pipeline.component_names
    }
    memories = [chosen.memory(place) for place in set(places.values())]
    if all(memory is None or memory.host for memory in memories):
        return  # nothing is looked for twice where nothing can be said
    parts = [part for half in halves for part in _components(half)]
    require_room(chosen, parts, places, offload=bool(options.get("offload")))


def _place(half: Half, name: str) -> str | None:
    device = _for_component(half.options.get("device"), name)
    return None if device is None else device_name(device) or str(device)


def _components(half: Half) -> Iterator[ComponentMemory]:
    """Yield what a half loads, under its names in the whole."""
    dtype = chosen_dtype(*map(half.options.get, _DTYPES))
    names = [name for name in half.pipeline.component_names if name not in half.ready]
    hub, part = HubOptions.among(half.options), half.pipeline.part
    folder = resolve_model(half.model, part, hub, names)
    checkpoint = Checkpoint.open(folder, name=str(half.model), variant=hub.variant, part=part)
    for name, source in checkpoint.require(names).items():
        if source.class_name in NETWORKS:
            asked = _for_component(dtype, name) or "float32"
            yield replace(ComponentMemory.of(name, source, asked), name=half.prefix + name)


def _for_component(value: Any, name: str) -> Any:
    return value.get(name, value.get("default")) if isinstance(value, Mapping) else value
