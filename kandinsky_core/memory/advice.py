"""What a device that would not hold a pipeline is told about: how much, and three ways out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kandinsky_core.memory.plan import MemoryPlan, readable_size
from kandinsky_core.seam.backend import DeviceMemory

__all__ = ["too_little_memory"]

_WAYS = 3
_HALF = "dtype='bfloat16'"
_ENCODED = "text_encoder=None and prompts that another machine has encoded"


def too_little_memory(plan: MemoryPlan, memory: DeviceMemory) -> str:
    """Return one line: what the weights take, what there is, and three ways out.

    Those come first that suffice, the simplest before the others.
    """
    parts = ", ".join(
        f"{part.name} {readable_size(part.size)} in {part.dtype}" for part in plan.components
    )
    enough = [
        f"{words} ({readable_size(changed.ever)})"
        for words, changed in _changes(plan)
        if changed.ever <= memory.total
    ]
    *ways, last = [*enough, *_always(plan)][:_WAYS]
    return (
        f"the weights take {readable_size(plan.ever)} at once on {memory.device}, which has "
        f"{readable_size(memory.total)} ({parts}): give {', or '.join(ways)}, or {last}"
    )


def _changes(plan: MemoryPlan) -> Iterator[tuple[str, MemoryPlan]]:
    """Yield what may be asked for instead, and what would be there then."""
    half = plan.in_dtype("bfloat16")
    smaller = half.ever < plan.ever
    if smaller:
        yield _HALF, half
    for words, why, loading in _loadings(plan):
        yield words + why, replace(plan, loading=loading, one_at_a_time=True)
    if smaller:
        for words, _, loading in _loadings(plan):
            yield f"{_HALF} with {words}", replace(half, loading=loading, one_at_a_time=True)
    if plan.in_blocks:
        others = tuple(part for part in plan.components if part.block_size is None)
        yield _ENCODED, replace(plan, components=others, one_at_a_time=True)


def _loadings(plan: MemoryPlan) -> Iterator[tuple[str, str, str]]:
    """Yield how the networks may come there one at a time: words, an explanation, the loading."""
    if not plan.one_at_a_time:
        loading = "on_demand" if plan.in_blocks else plan.loading
        words = f"text_encoder_loading={loading!r}" if plan.in_blocks else "offload=True"
        yield words, ", which keeps one network at a time there", loading
    if plan.in_blocks and plan.loading != "streamed":
        yield "text_encoder_loading='streamed'", "", "streamed"


def _always(plan: MemoryPlan) -> Iterator[str]:
    yield "device='cpu'"
    yield f"a device with more than {readable_size(plan.ever)}"
    yield "a smaller model"
