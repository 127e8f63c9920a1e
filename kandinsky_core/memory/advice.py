"""The message for a pipeline that a device would not hold: how much it needs, three ways out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kandinsky_core.memory.plan import MemoryPlan, readable_size
from kandinsky_core.seam.backend import DeviceMemory

__all__ = ["too_little_memory"]

_WAYS = 3
_HALF = "dtype='bfloat16'"
_ENCODED = "text_encoder=None and prompts that another machine has encoded"


def too_little_memory(
    plan: MemoryPlan, memory: DeviceMemory, quantizations: Sequence[str] = ()
) -> str:
    """Return one line: what the weights take, what the device has, and three ways out.

    Ways that suffice come first, and among them the simplest.

    Args:
        plan: The weights.
        memory: The device.
        quantizations: The values of `quantize` that the backend takes.
    """
    parts = ", ".join(
        f"{part.name} {readable_size(part.size)} in {part.quantize or part.dtype}"
        for part in plan.components
    )
    enough = [
        f"{words} ({readable_size(changed.ever)})"
        for words, changed in _changes(plan, quantizations)
        if changed.ever <= memory.total
    ]
    *ways, last = [*enough, *_always(plan)][:_WAYS]
    return (
        f"the weights take {readable_size(plan.ever)} at once on {memory.device}, which has "
        f"{readable_size(memory.total)} ({parts}): give {', or '.join(ways)}, or {last}"
    )


def _changes(plan: MemoryPlan, quantizations: Sequence[str]) -> Iterator[tuple[str, MemoryPlan]]:
    """Yield each change that the user may ask for, in words, with the plan that it leads to."""
    half = plan.in_dtype("bfloat16")
    smaller = half.ever < plan.ever
    if smaller:
        yield _HALF, half
    for words, why, loading in _loadings(plan):
        yield words + why, replace(plan, loading=loading, one_at_a_time=True)
    if smaller:
        for words, _, loading in _loadings(plan):
            yield f"{_HALF} with {words}", replace(half, loading=loading, one_at_a_time=True)
    for quantize in quantizations:  # after the ways that change no number
        least = plan.ever
        for words, kept in (("", plan), (f"{_HALF} with ", half)):
            small = kept.quantized(quantize)
            if small.ever < min(kept.ever, least):
                least = small.ever
                yield f"{words}quantize={quantize!r}", small
    if plan.in_blocks:
        others = tuple(part for part in plan.components if part.block_size is None)
        yield _ENCODED, replace(plan, components=others, one_at_a_time=True)


def _loadings(plan: MemoryPlan) -> Iterator[tuple[str, str, str]]:
    """Yield ways to keep one network at a time on the device: words, a reason, the loading."""
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
