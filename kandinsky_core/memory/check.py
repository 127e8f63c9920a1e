"""Checks that a device can hold the weights, before any are loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from kandinsky_core.memory.advice import too_little_memory
from kandinsky_core.memory.plan import ComponentMemory, MemoryPlan
from kandinsky_core.memory.setting import refuse
from kandinsky_core.seam.backend import Backend, DeviceMemory

__all__ = ["require_room"]

logger = logging.getLogger(__name__)


def require_room(
    backend: Backend,
    components: Iterable[ComponentMemory],
    places: Mapping[str, str | None],
    *,
    loading: str = "resident",
    offload: bool = False,
) -> None:
    """Refuse networks that exceed a device's memory, and warn of those that may exceed it later.

    The host is not checked, since weights may be windows into their files there. A warning is
    logged for weights that are not on the device from the start and perhaps never will be. That is
    a text encoder that is loaded for each text. On some frameworks it is all networks, whose
    weights come to the device when they are used.

    Args:
        backend: The backend that loads the networks.
        components: The networks to load.
        places: The device of each network, by its name.
        loading: When the text encoder is loaded. For all values except `resident` the other
            networks are on the device one at a time.
        offload: Whether all networks are on the device one at a time.

    Raises:
        BackendUnavailableError: A device is not there.
        DeviceMemoryError: The weights that loading brings to a device at once exceed its whole
            memory.
    """
    memories: dict[str | None, DeviceMemory | None] = {}
    groups: dict[str, tuple[DeviceMemory, list[ComponentMemory]]] = {}
    for component in components:
        place = places[component.name]
        if place not in memories:
            memories[place] = backend.memory(place)
        memory = memories[place]
        if memory is not None and not memory.host:
            groups.setdefault(memory.device, (memory, []))[1].append(component)
    for memory, group in groups.values():
        plan = MemoryPlan(tuple(group), loading, offload or loading != "resident")
        if plan.ever <= memory.total:
            continue
        problem = too_little_memory(plan, memory, getattr(backend, "quantizations", ()))
        if memory.filled_by_load and plan.at_load > memory.total:
            refuse(problem)
            continue
        logger.warning("%s", problem)
