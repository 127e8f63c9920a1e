"""Times the same components in PyTorch diffusers: eager, channels-last, compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.full_size import TOKENS_OF_3, Case, RandomComponent
from benchmarks.turns import versions

__all__ = ["CALLS", "built", "measure"]


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
    network = built(case.source(model), getattr(torch, dtype), device)
    loading = time.perf_counter() - start
    if form != "eager":
        network = network.to(memory_format=torch.channels_last)
    call, arguments = CALLS[case.name](network, size)
    if form == "compiled":
        call = torch.compile(call)
    seconds = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            call(*arguments)
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


def built(source: RandomComponent, kind: Any, device: str) -> Any:
    """Return a component's module of one dtype on a device, filled with random numbers."""
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


Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of tensors, which runs a network, and its arguments."""


def _unet(network: Any, size: int) -> Call:
    def run(sample: Any, embeds: Any) -> Any:
        given = {"image_embeds": embeds}
        return network(sample, 500, None, added_cond_kwargs=given, return_dict=False)[0]

    sample = _random(network, 2, 4, size // 8, size // 8)
    return run, (sample, _random(network, 2, network.config.encoder_hid_dim))


def _unet_of_3(network: Any, size: int) -> Call:
    import torch

    def run(sample: Any, states: Any, mask: Any) -> Any:
        return network(sample, 500, states, mask, return_dict=False)[0]

    sample = _random(network, 2, 4, size // 8, size // 8)
    states = _random(network, 2, TOKENS_OF_3, network.config.encoder_hid_dim)
    tokens = torch.arange(TOKENS_OF_3, device=sample.device)
    return run, (sample, states, tokens[None] < torch.tensor([[2], [12]], device=sample.device))


def _prior(network: Any, size: int) -> Call:
    import torch

    def run(sample: Any, text: Any, states: Any, mask: Any) -> Any:
        return network(sample, 500, text, states, mask, return_dict=False)[0]

    width, length = network.config.embedding_dim, network.config.num_embeddings
    sample, text = _random(network, 2, width), _random(network, 2, width)
    states = _random(network, 2, length, width)
    lengths = torch.tensor([[2], [12]], device=sample.device)
    return run, (sample, text, states, torch.arange(length, device=sample.device)[None] < lengths)


def _movq(network: Any, size: int) -> Call:
    def run(latents: Any) -> Any:
        return network.decode(latents, force_not_quantize=True, return_dict=False)[0]

    return run, (_random(network, 1, 4, size // 8, size // 8),)


def _text(network: Any, size: int) -> Call:
    import torch

    def run(ids: Any) -> Any:
        return network(ids, return_dict=False)

    device = next(network.parameters()).device
    shape = (1, network.config.max_position_embeddings)
    return run, (torch.randint(0, network.config.vocab_size, shape, device=device),)


CALLS: dict[str, Callable[[Any, int], Call]] = {
    "unet": _unet,
    "unet-3": _unet_of_3,
    "prior": _prior,
    "movq": _movq,
    "text": _text,
}
"""The call of each case, of a network and the side of a picture in pixels."""
