"""Whether a device would hold the weights, asked before any are loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from kandinsky_core.errors import DeviceMemoryError
from kandinsky_core.memory.advice import too_little_memory
from kandinsky_core.memory.plan import ComponentMemory, MemoryPlan
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
    """Refuse what a device cannot hold however empty it is, and warn of what it may not.

    The host is left out: weights may be windows into their files there. A warning is for what is
    not there from the start, and perhaps never will be: a text encoder that is loaded for a text,
    or all, where the framework brings weights to the device when they are used.

    Args:
        backend: What loads them.
        components: The networks to load.
        places: Where each is to be, by its name.
        loading: When the text encoder is loaded; but for `resident` the other networks are on the
            device one at a time.
        offload: Whether all networks are there one at a time.

    Raises:
        BackendUnavailableError: A device is not there.
        DeviceMemoryError: The weights that loading brings there at once are more than it has in
            all.
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
        problem = too_little_memory(plan, memory)
        if memory.filled_by_load and plan.at_load > memory.total:
            raise DeviceMemoryError(problem)
        logger.warning("%s", problem)
