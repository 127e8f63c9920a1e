"""From a model's name to a pipeline's components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.backend import get_backend
from kandinsky_core.checkpoint import Checkpoint, Component
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
from kandinsky_core.dtypes import component_dtype
from kandinsky_core.errors import ConfigError
from kandinsky_core.hub import HubOptions, resolve_model
from kandinsky_core.interfaces import Backend
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
    backend: str | Backend | None,
    device: str | None,
    dtype: str,
    options: HubOptions,
    check: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Load what is not `ready`, after the configs and the weight files of all have been checked.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    chosen = get_backend(backend) if backend is None or isinstance(backend, str) else backend
    wanted = [name for name in names if name not in ready]
    folder = resolve_model(model, part, options, wanted)
    checkpoint = Checkpoint.open(folder, name=str(model), variant=options.variant)
    sources = checkpoint.require(wanted)
    networks = {name: source for name, source in sources.items() if source.class_name in _CONFIGS}
    light = {name: _light(source) for name, source in sources.items() if name not in networks}
    check(
        {
            name: _CONFIGS[source.class_name].from_dict(source.config)
            for name, source in networks.items()
        }
    )
    for source in networks.values():
        source.tensors()  # reads the headers
    heavy = {
        name: chosen.load(source, component_dtype(name, dtype), device)
        for name, source in networks.items()
    }
    return {**ready, **light, **heavy}


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
