"""From a model's name to a pipeline's components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.backend import chosen_backend
from kandinsky_core.checkpoint import NULL_EMBEDDING, Checkpoint, Component
from kandinsky_core.configs import (
    CLIPTextConfig,
    CLIPVisionConfig,
    Kandinsky3UNetConfig,
    MultilingualCLIPConfig,
    NetworkConfig,
    PriorTransformerConfig,
    T5Config,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.devices import device_name
from kandinsky_core.dtypes import component_dtype
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.hub import HubOptions, resolve_model
from kandinsky_core.interfaces import Backend, Network
from kandinsky_core.on_demand_encoder import OnDemandTextEncoder
from kandinsky_core.schedulers import scheduler_from_config
from kandinsky_core.tokenizer import ClipTokenizer
from kandinsky_core.tokenizer_file import XLMRobertaTokenizer
from kandinsky_core.tokenizer_t5 import T5Tokenizer

__all__ = ["load_components"]

_TOKENIZERS: Mapping[str, type[Any]] = {
    "CLIPTokenizer": ClipTokenizer,
    "CLIPTokenizerFast": ClipTokenizer,
    "T5Tokenizer": T5Tokenizer,
    "T5TokenizerFast": T5Tokenizer,
    "XLMRobertaTokenizer": XLMRobertaTokenizer,
    "XLMRobertaTokenizerFast": XLMRobertaTokenizer,
}
_CONFIGS: Mapping[str, type[NetworkConfig]] = {
    config.CLASS_NAME: config
    for config in (
        CLIPTextConfig,
        CLIPVisionConfig,
        Kandinsky3UNetConfig,
        MultilingualCLIPConfig,
        PriorTransformerConfig,
        T5Config,
        UNet2DConditionConfig,
        VQModelConfig,
    )
}


def load_components(
    model: str | Path,
    *,
    part: str,
    names: Sequence[str],
    ready: Mapping[str, Any],
    text_encoder_loading: str,
    backend: str | Backend | None,
    device: Any,
    dtype: Any,
    options: HubOptions,
    check: Callable[[Mapping[str, Any]], None],
    mesh: Any = None,
) -> dict[str, Any]:
    """Load what is not `ready`, after the configs and the weight files of all have been checked.

    `device` and `dtype` are one for all components, or mappings by their names.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    chosen = chosen_backend(backend, mesh, device)
    devices = _by_component("device", device, names)
    dtypes = _by_component("dtype", dtype, names)
    wanted = [name for name in names if name not in (*ready, NULL_EMBEDDING)]
    folder = resolve_model(model, part, options, wanted)
    checkpoint = Checkpoint.open(folder, name=str(model), variant=options.variant, part=part)
    sources = checkpoint.require(wanted)
    networks = {name: source for name, source in sources.items() if source.class_name in _CONFIGS}
    light = {name: _light(source) for name, source in sources.items() if name not in networks}
    check(
        {
            name: _CONFIGS[source.class_name].from_dict(source.config)
            for name, source in networks.items()
        }
    )
    if NULL_EMBEDDING in names and NULL_EMBEDDING not in ready and "unet" in sources:
        light[NULL_EMBEDDING] = sources["unet"].null_embedding()
    for source in networks.values():
        source.tensors()  # reads the headers
    apart = text_encoder_loading != "resident"
    heavy: dict[str, Any] = {}
    for name, source in networks.items():
        computed = component_dtype(name, dtypes[name] or "float32")
        given = devices[name]
        place = None if given is None else device_name(given) or str(given)
        if apart and name == "text_encoder":
            whole = text_encoder_loading == "on_demand"
            heavy[name] = _on_demand(chosen, source, computed, place, whole=whole)
            continue
        heavy[name] = chosen.load(source, computed, place)
        if apart and heavy[name].device != "cpu":
            heavy[name].offload()  # the device is the text encoder's while it encodes
    return {**ready, **light, **heavy}


def _by_component(argument: str, value: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return what an argument of `from_pretrained` says for each component."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    unknown = [repr(name) for name in value if name not in (*names, "default")]
    if unknown:
        raise InvalidInputError(
            f"{argument} has {', '.join(unknown)}: give {', '.join(names)} or default"
        )
    return {name: value.get(name, value.get("default")) for name in names}


def _on_demand(
    backend: Backend, source: Component, dtype: str, device: str | None, *, whole: bool
) -> Network:
    """Prepare a text encoder that is loaded when it is used; its files are checked now."""
    streamed = backend.load_streamed(source, dtype, device)

    def load(dtype: str, device: str) -> Any:
        return backend.load(source, dtype, device)

    return OnDemandTextEncoder(streamed, load if whole else None)


def _light(source: Component) -> Any:
    """Load a component that has no weights."""
    if source.class_name in _TOKENIZERS:
        return _TOKENIZERS[source.class_name].from_pretrained(source.folder)
    if source.class_name.endswith("Scheduler"):
        return scheduler_from_config(source.config)
    if source.name == "image_processor":
        return source.config
    raise ConfigError(
        f"component {source.name!r} is a {source.class_name}, which is not supported; "
        f"networks: {', '.join(_CONFIGS)}; tokenizers: {', '.join(_TOKENIZERS)}"
    )
