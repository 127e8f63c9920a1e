"""Tells for `kandinsky info` how much memory a model takes, and whether a device has that much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kandinsky_cli.model_parts import Absent, open_prior, open_weights
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import BackendUnavailableError, ModelNotFoundError
from kandinsky_core.memory.plan import ComponentMemory, MemoryPlan, readable_size
from kandinsky_core.seam.backend import DeviceMemory
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import dtype_name
from kandinsky_core.seam.quantization import (
    EightBitsRule,
    eight_bits_rule,
    in_eight_bits,
    quantization_name,
    require_quantizing,
)
from kandinsky_core.seam.registry import get_backend

__all__ = ["describe_memory", "memory_lines"]

_NOTE = "weights alone: what is computed with them comes on top"
_WAYS = {
    "resident_bytes": "all at once",
    "one_at_a_time_bytes": "one at a time (offload)",
    "streamed_bytes": "text encoder streamed",
}


def describe_memory(
    parts: Sequence[Checkpoint],
    hub: HubOptions,
    *,
    dtype: str | None,
    quantize: str | None,
    backend: str | None,
    device: str | None,
) -> dict[str, Any]:
    """Return how much memory the networks take in the pipeline that makes pictures from text.

    Args:
        parts: The checkpoints that the model holds.
        hub: How to fetch the prior that the model names.
        dtype: The dtype that a pipeline would be asked for; None is float32.
        quantize: How weights would be kept; None keeps them in the dtype.
        backend: The backend whose device is asked; None takes an installed one, if any is.
        device: The device that is asked; None takes the backend's own choice.

    Raises:
        KandinskyError: The dtype, the backend or the device is unknown, or a file is damaged.
    """
    asked = dtype_name(dtype or "float32")
    kept = None if quantize is None else quantization_name(quantize)
    memory, rule = _device_memory(backend, device, kept)
    networks: list[ComponentMemory] = []
    missing: dict[str, str] = {}
    for prefix, checkpoint in _halves(parts, hub, missing):
        for name, component in checkpoint.components.items():
            if component.class_name not in NETWORKS:
                continue
            try:
                open_weights(component)
            except Absent as absent:
                missing[prefix + name] = str(absent)
            else:
                networks.append(ComponentMemory.of(prefix + name, component, asked, kept, rule))
    found: dict[str, Any] = {
        "note": _NOTE,
        "components": {
            part.name: {
                "class": part.class_name,
                "dtype": part.dtype,
                **({} if part.quantize is None else {"quantize": part.quantize}),
                "bytes": part.size,
            }
            for part in networks
        },
        **_totals(MemoryPlan(tuple(networks)), memory),
    }
    if missing:
        found["not_counted"] = missing
    if memory is not None:
        found["device"] = {
            "name": memory.device,
            "host": memory.host,
            "total_bytes": memory.total,
            "free_bytes": memory.free,
        }
    return found


def _device_memory(
    backend: str | None, device: str | None, quantize: str | None
) -> tuple[DeviceMemory | None, EightBitsRule]:
    """Return the memory of a backend's device, and which tensors the backend keeps in 8 bits."""
    try:
        chosen = get_backend(backend)
    except BackendUnavailableError:
        if backend is not None or device is not None:
            raise
        return None, in_eight_bits
    require_quantizing(chosen, quantize)
    memory = chosen.memory(None if device is None else device_name(device) or device)
    return memory, eight_bits_rule(chosen)


def _halves(
    parts: Sequence[Checkpoint], hub: HubOptions, missing: dict[str, str]
) -> Iterator[tuple[str, Checkpoint]]:
    """Yield the prior, if there is one, and a decoder; each with the prefix of its components."""
    priors = [part for part in parts if "Prior" in part.pipeline_class]
    decoders = [part for part in parts if part not in priors]
    if not priors:
        try:
            prior = open_prior(decoders[0], hub)
        except ModelNotFoundError as error:
            missing["prior"] = str(error)
        else:
            priors = [] if prior is None else [prior]
    for prior in priors[:1]:
        yield "prior_" if decoders else "", prior
    for decoder in decoders[:1]:
        yield "", decoder


def _totals(plan: MemoryPlan, memory: DeviceMemory | None) -> dict[str, int]:
    """Return the bytes on the device for each way of loading; the host holds the other weights."""
    apart = memory is None or not memory.host
    found = {
        "resident_bytes": plan.ever,
        "one_at_a_time_bytes": MemoryPlan(plan.components, one_at_a_time=True).ever,
    }
    if plan.in_blocks:
        found["streamed_bytes"] = MemoryPlan(plan.components, "streamed", apart).ever
    return found


def memory_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table with the findings of `describe_memory`."""
    yield f"memory ({found['note']}):"
    for name, part in found["components"].items():
        yield _line(name, part.get("quantize", part["dtype"]), part["bytes"])
    missing, device = found.get("not_counted", {}), found.get("device")
    for way, words in _WAYS.items():
        if way in found and found["components"]:
            yield _line(words, "", found[way], _verdict(way, found))
    for name, reason in missing.items():
        yield f"  {name} is not counted: {reason}"
    if device is not None:
        free = device["free_bytes"]
        rest = "" if free is None else f", {readable_size(free)} of it free"
        yield f"  {device['name']} has {readable_size(device['total_bytes'])}{rest}"


def _verdict(way: str, found: Mapping[str, Any]) -> str:
    """Say whether the weights fit, if that is known; on the host all networks are there at once."""
    device = found.get("device")
    if device is None or (device["host"] and way == "one_at_a_time_bytes"):
        return ""
    if found[way] > device["total_bytes"]:
        return "does not fit"
    if device["free_bytes"] is not None and found[way] > device["free_bytes"]:
        return "more than is free now"
    return "" if "not_counted" in found else "fits"


def _line(name: str, dtype: str, size: int, verdict: str = "") -> str:
    return (
        f"  {name:<24} {dtype:<8} {size:>15,} bytes {readable_size(size):>10}  {verdict}".rstrip()
    )
