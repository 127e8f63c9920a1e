"""Times the same components in PyTorch diffusers: eager, channels-last, compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.full_size import Case, RandomComponent, component
from benchmarks.turns import versions

__all__ = ["measure"]


def measure(
    case: Case, model: str, form: str, dtype: str, size: int, repeats: int
) -> dict[str, Any]:
    """Time a first call, which compiles if `form` says so, and `repeats` further ones.

    Args:
        case: The call.
        model: `2.2` or `shapes`.
        form: `eager`, `channels_last` or `compiled`, which is channels-last too.
        dtype: The dtype of weights and inputs.
        size: Pixels of a side.
        repeats: Timed calls.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = time.perf_counter()
    network = _built(component(case.component, model), getattr(torch, dtype), device)
    loading = time.perf_counter() - start
    if form != "eager":
        network = network.to(memory_format=torch.channels_last)
    call = _CALLS[case.name](network, size, form == "compiled")
    seconds = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "load": loading,
        "first": seconds[0],
        "compile": seconds[0] - min(seconds[1:]) if form == "compiled" else 0.0,
        "steps": seconds[1:],
        "device_peak_gib": None if peak is None else round(peak, 2),
        "versions": versions("torch", "diffusers", "transformers"),
    }


def _built(source: RandomComponent, kind: Any, device: str) -> Any:
    """Return the module on the device, filled with random numbers."""
    import diffusers
    import torch
    import transformers

    with torch.device("meta"):
        if hasattr(diffusers, source.class_name):
            network = getattr(diffusers, source.class_name).from_config(dict(source.config))
        else:
            made = getattr(transformers, source.class_name)
            network = made(made.config_class(**source.config))
    network = network.to(kind).to_empty(device=device).eval().requires_grad_(requires_grad=False)
    for name, parameter in network.named_parameters():
        parameter.normal_(0, 0.02)
        if parameter.ndim == 1 and name.endswith("weight"):
            parameter += 1
    for name, buffer in network.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1])[None])
        elif buffer.is_floating_point():
            buffer.zero_()
    return network


def _random(network: Any, *shape: int) -> Any:
    import torch

    parameter = next(network.parameters())
    made = torch.randn(shape, device=parameter.device, dtype=parameter.dtype)
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


def _maybe_compiled(function: Any, compiled: bool) -> Any:
    import torch

    return torch.compile(function) if compiled else function


def _unet(network: Any, size: int, compiled: bool) -> Callable[[], Any]:
    sample = _random(network, 2, 4, size // 8, size // 8)
    embeds = {"image_embeds": _random(network, 2, network.config.encoder_hid_dim)}
    run = _maybe_compiled(network, compiled)
    return lambda: run(sample, 500, None, added_cond_kwargs=embeds, return_dict=False)


def _prior(network: Any, size: int, compiled: bool) -> Callable[[], Any]:
    import torch

    width, length = network.config.embedding_dim, network.config.num_embeddings
    sample, text = _random(network, 2, width), _random(network, 2, width)
    states = _random(network, 2, length, width)
    mask = torch.arange(length, device=sample.device)[None] < torch.tensor(
        [[2], [12]], device=sample.device
    )
    run = _maybe_compiled(network, compiled)
    return lambda: run(sample, 500, text, states, mask, return_dict=False)


def _movq(network: Any, size: int, compiled: bool) -> Callable[[], Any]:
    latents = _random(network, 1, 4, size // 8, size // 8)
    decode = _maybe_compiled(network.decode, compiled)
    return lambda: decode(latents, force_not_quantize=True)


def _text(network: Any, size: int, compiled: bool) -> Callable[[], Any]:
    import torch

    device = next(network.parameters()).device
    shape = (1, network.config.max_position_embeddings)
    ids = torch.randint(0, network.config.vocab_size, shape, device=device)
    run = _maybe_compiled(network, compiled)
    return lambda: run(ids)


_CALLS: dict[str, Callable[[Any, int, bool], Callable[[], Any]]] = {
    "unet": _unet,
    "prior": _prior,
    "movq": _movq,
    "text": _text,
}
