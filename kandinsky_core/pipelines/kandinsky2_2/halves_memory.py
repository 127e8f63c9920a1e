"""Checks that a device can hold both halves of a combined pipeline, before either is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.configs import NETWORKS
from kandinsky_core.memory.check import require_room
from kandinsky_core.memory.plan import ComponentMemory
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import chosen_dtype
from kandinsky_core.seam.quantization import (
    EightBitsRule,
    eight_bits_rule,
    quantized_components,
)

__all__ = ["Half", "require_room_for_halves"]

_DTYPES = ("dtype", "torch_dtype", "mindspore_dtype", "mindspore")


@dataclass(frozen=True, slots=True)
class Half:
    """One half of a combined pipeline that is about to be loaded.

    Attributes:
        pipeline: The half's class.
        model: The model that it is loaded from.
        options: The other arguments of its `from_pretrained`.
        ready: Components that the caller gave, by name; they are not loaded.
        prefix: Prefix of its components' names in the combined pipeline.
    """

    pipeline: type[DiffusionPipeline]
    model: OpenedModel
    options: Mapping[str, Any]
    ready: Mapping[str, Any]
    prefix: str = ""


def require_room_for_halves(backend: Backend, *halves: Half) -> None:
    """Refuse to load two halves that the device cannot hold together.

    See `kandinsky_core.memory.check.require_room`. The options of both halves are alike.

    Args:
        backend: The backend that loads both.
        *halves: The halves.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    options = halves[0].options
    places = {
        half.prefix + name: _place(half, name)
        for half in halves
        for name in half.pipeline.component_names
    }
    memories = [backend.memory(place) for place in set(places.values())]
    if all(memory is None or memory.host for memory in memories):
        return  # the free memory is unknown, so no file is looked up for it
    rule = eight_bits_rule(backend)
    parts = [part for half in halves for part in _components(half, rule)]
    require_room(backend, parts, places, offload=bool(options.get("offload")))


def _place(half: Half, name: str) -> str | None:
    device = _for_component(half.options.get("device"), name)
    return None if device is None else device_name(device) or str(device)


def _components(half: Half, rule: EightBitsRule) -> Iterator[ComponentMemory]:
    """Yield the memory of each network of a half, under its name in the combined pipeline."""
    dtype = chosen_dtype(*map(half.options.get, _DTYPES))
    names = [name for name in half.pipeline.component_names if name not in half.ready]
    sources = half.model.components(names)
    networks = {name: one for name, one in sources.items() if one.class_name in NETWORKS}
    classes = {name: source.class_name for name, source in networks.items()}
    kept = quantized_components(half.options.get("quantize"), names, classes)
    for name, source in networks.items():
        asked = _for_component(dtype, name) or "float32"
        found = ComponentMemory.of(name, source, asked, kept.get(name), rule)
        yield replace(found, name=half.prefix + name)


def _for_component(value: Any, name: str) -> Any:
    return value.get(name, value.get("default")) if isinstance(value, Mapping) else value
