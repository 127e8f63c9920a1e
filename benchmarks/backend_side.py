"""Times a component on one of our backends, through the seam that pipelines use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.full_size import GUIDANCE, TOKENS_OF_3, Case
from benchmarks.turns import versions
from kandinsky_core import DDPMScheduler, UnCLIPScheduler, get_backend

__all__ = ["begin", "measure"]

_CHOICES: dict[str, dict[str, Any]] = {
    "": {},
    "plain": {"winograd": False},
    "without kernels": {"attention": "plain"},
}
"""What a side asks of the backend, by the words after the backend's name."""
_PACKAGES = {"jax": ("jax", "flax"), "mindspore": ("mindspore", "mindone")}


def measure(
    case: Case, model: str, side: str, dtype: str, size: int, repeats: int
) -> dict[str, Any]:
    """Time a first call, which compiles, and `repeats` further ones."""
    backend_name, _, choice = side.partition(" ")
    backend: Any = get_backend(backend_name, **_CHOICES[choice])
    start = time.perf_counter()
    network: Any = backend.load(case.source(model), dtype)
    loading = time.perf_counter() - start
    call = begin(case.name, network, size)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    found = {
        "device": network.device,
        "load": loading,
        "first": seconds[0],
        "compile": sum(entry.seconds for entry in backend.compilations),
        "steps": seconds[1:],
        "versions": versions(*_PACKAGES[backend_name]),
    }
    return found | (_jax_facts(network) if backend_name == "jax" else {})


def _jax_facts(network: Any) -> dict[str, Any]:
    """Return the operations that the compiler counts in a step, and the device's peak memory."""
    # Programs that run once for a request, or for the weights, are no part of a step.
    programs = [
        program for key, program in network._programs.items() if key not in ("prepare", "tiles")
    ]
    costs = [
        analysis.get("flops", 0.0)
        for program in programs
        for compiled in program._compiled
        for analysis in [compiled.cost_analysis() or {}]
    ]
    statistics = network._place.device.memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return {
        "flops": max(costs, default=0.0),
        "device_peak_gib": None if peak is None else round(peak / 2**30, 2),
    }


def _noise(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def _denoising(network: Any, sample: Any, conditioning: dict[str, Any], schedule: Any) -> Any:
    run = network.begin(sample, conditioning, GUIDANCE, rule=schedule.rule)
    index = iter(range(len(schedule)))

    def step() -> None:
        at = next(index)
        noise = sample if schedule.draws[at] else None
        run.step(float(schedule.timesteps[at]), schedule.rows[at], noise)
        run.read()

    return step


def _unet(network: Any, size: int) -> Callable[[], Any]:
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012).schedule(500)
    embeds = _noise(2, network.config.encoder_hid_dim)
    sample = _noise(1, 4, size // 8, size // 8)
    step: Callable[[], Any] = _denoising(network, sample, {"image_embeds": embeds}, schedule)
    return step


def _unet_of_3(network: Any, size: int) -> Callable[[], Any]:
    schedule = DDPMScheduler(beta_schedule="squaredcos_cap_v2").schedule(500)
    conditioning = {
        "text_encoder_hidden_states": _noise(2, TOKENS_OF_3, network.config.encoder_hid_dim),
        "attention_mask": np.arange(TOKENS_OF_3)[None] < np.array([[2], [12]]),
    }
    sample = _noise(1, 4, size // 8, size // 8)
    step: Callable[[], Any] = _denoising(network, sample, conditioning, schedule)
    return step


def _prior(network: Any, size: int) -> Callable[[], Any]:
    schedule = UnCLIPScheduler(variance_type="fixed_small_log").schedule(500)
    width, length = network.config.embedding_dim, network.config.num_embeddings
    conditioning = {
        "prompt_embeds": _noise(2, width),
        "text_encoder_hidden_states": _noise(2, length, width),
        "text_mask": np.arange(length)[None] < np.array([[2], [12]]),
    }
    step: Callable[[], Any] = _denoising(network, _noise(1, width), conditioning, schedule)
    return step


def _movq(network: Any, size: int) -> Callable[[], Any]:
    latents = _noise(1, 4, size // 8, size // 8)
    return lambda: network.decode(latents)


def _text(network: Any, size: int) -> Callable[[], Any]:
    shape = (1, network.config.max_position_embeddings)
    ids = np.random.default_rng(2).integers(0, network.config.vocab_size, shape)
    return lambda: network.encode(ids.astype(np.int32))


_CALLS: dict[str, Callable[[Any, int], Callable[[], Any]]] = {
    "unet": _unet,
    "unet-3": _unet_of_3,
    "prior": _prior,
    "movq": _movq,
    "text": _text,
}


def begin(case: str, network: Any, size: int) -> Callable[[], Any]:
    """Return the call of a case: a step of a loop under way, or a whole decoding or encoding.

    Args:
        case: Its name in `CASES`.
        network: The loaded network.
        size: Pixels of a side.
    """
    return _CALLS[case](network, size)
