"""Loads the components of a pipeline from a model that the user names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.checkpoints.file_names import NULL_EMBEDDING
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.memory.check import require_room
from kandinsky_core.memory.on_demand_encoder import OnDemandTextEncoder
from kandinsky_core.memory.plan import ComponentMemory
from kandinsky_core.pictures.clip_image_processor import CLIPImageProcessor
from kandinsky_core.pipelines.shared.ready_components import backend_of, check_ready
from kandinsky_core.schedulers import scheduler_from_config
from kandinsky_core.seam.backend import Backend
from kandinsky_core.seam.devices import device_name
from kandinsky_core.seam.dtypes import pinned_dtype
from kandinsky_core.seam.networks import Network
from kandinsky_core.seam.quantization import (
    Quantize,
    eight_bits_rule,
    loading_quantized,
    quantized_components,
    require_quantizing,
)
from kandinsky_core.seam.registry import chosen_backend
from kandinsky_core.texts.clip_tokenizer import ClipTokenizer
from kandinsky_core.texts.file_tokenizer import XLMRobertaTokenizer
from kandinsky_core.texts.t5_tokenizer import MT5Tokenizer, T5Tokenizer

__all__ = ["load_components"]

_TOKENIZERS: Mapping[str, type[Any]] = {
    "CLIPTokenizer": ClipTokenizer,
    "CLIPTokenizerFast": ClipTokenizer,
    "MT5Tokenizer": MT5Tokenizer,
    "MT5TokenizerFast": MT5Tokenizer,
    "T5Tokenizer": T5Tokenizer,
    "T5TokenizerFast": T5Tokenizer,
    "XLMRobertaTokenizer": XLMRobertaTokenizer,
    "XLMRobertaTokenizerFast": XLMRobertaTokenizer,
}


# Components that an index may leave out; Kandinsky 3 then takes `prompt_embeds` only, or its UNet
# reads a hint itself.
_OPTIONAL = frozenset({"controlnet", "text_encoder", "tokenizer"})


def load_components(
    model: str | Path | OpenedModel,
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
    offload: bool = False,
    optional: Iterable[str] = (),
    quantize: Quantize = None,
) -> dict[str, Any]:
    """Load the components that are not `ready`; all configs and weight files are checked first.

    `device` and `dtype` hold one value for all components, or map component names to values. With
    `offload` a network leaves its device before the next one is loaded. A component that is
    `optional` is None where the model does not name it.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    chosen = chosen_backend(backend_of(ready) if backend is None else backend, mesh, device)
    require_quantizing(chosen, quantize)
    check_ready(ready, chosen.name)
    places = {
        name: None if given is None else device_name(given) or str(given)
        for name, given in _by_component("device", device, names).items()
    }
    dtypes = _by_component("dtype", dtype, names)
    opened = OpenedModel.of(model, part, options)
    left_out = (_OPTIONAL & opened.checkpoint.absent & set(names)) | (
        set(optional) - set(opened.checkpoint.components)
    )
    ready = {**dict.fromkeys(left_out), **ready}
    wanted = [name for name in names if name not in (*ready, NULL_EMBEDDING)]
    sources = opened.components(wanted)
    networks = {name: source for name, source in sources.items() if source.class_name in NETWORKS}
    light = {name: _light(source) for name, source in sources.items() if name not in networks}
    check(
        {name: part.config for name, part in ready.items() if hasattr(part, "offload")}
        | {
            name: NETWORKS[source.class_name].config.from_dict(source.config)
            for name, source in networks.items()
        }
    )
    classes = {name: source.class_name for name, source in networks.items()}
    kept = quantized_components(quantize, names, classes)
    if NULL_EMBEDDING in names and NULL_EMBEDDING not in ready:
        unet = opened.checkpoint.components.get("unet")
        if unet is not None and unet.folder.is_dir():  # the UNet itself may be a ready one
            light[NULL_EMBEDDING] = unet.null_embedding()
    rule = eight_bits_rule(chosen)
    plans = {  # reads the headers
        name: ComponentMemory.of(name, source, dtypes[name] or "float32", kept.get(name), rule)
        for name, source in networks.items()
    }
    require_room(chosen, plans.values(), places, loading=text_encoder_loading, offload=offload)
    apart = text_encoder_loading != "resident"
    heavy: dict[str, Any] = {}
    for name, source in networks.items():
        computed = pinned_dtype(source.class_name, dtypes[name] or "float32")
        place, more = places[name], loading_quantized(kept.get(name))
        if apart and name == "text_encoder":
            whole = plans[name] if text_encoder_loading == "on_demand" else None
            heavy[name] = _on_demand(chosen, source, computed, place, whole, more)
            continue
        heavy[name] = chosen.load(source, computed, place, **more)
        if offload or (apart and heavy[name].device != "cpu"):
            heavy[name].offload()  # makes room for the next network, or for the text encoder
    return {**ready, **light, **heavy}


def _by_component(argument: str, value: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the value of an argument of `from_pretrained` for each component."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    unknown = [repr(name) for name in value if name not in (*names, "default")]
    if unknown:
        raise InvalidInputError(
            f"{argument} has {', '.join(unknown)}: give {', '.join(names)} or default"
        )
    return {name: value.get(name, value.get("default")) for name in names}


def _on_demand(
    backend: Backend,
    source: Component,
    dtype: str,
    device: str | None,
    whole: ComponentMemory | None,
    more: Mapping[str, Any],
) -> Network:
    """Prepare a text encoder that is loaded when it is used; its files are checked now.

    It is loaded whole where `whole` is given, the memory that this takes; else block by block.
    `more` is what `loading_quantized` returns.
    """
    streamed = backend.load_streamed(source, dtype, device, **more)
    if whole is None:
        return OnDemandTextEncoder(streamed, None)

    def load(dtype: str, device: str) -> Any:
        require_room(backend, [whole.in_dtype(dtype)], {whole.name: device}, offload=True)
        return backend.load(source, dtype, device, **more)

    return OnDemandTextEncoder(streamed, load)


def _light(source: Component) -> Any:
    """Load a component that has no weights."""
    if source.class_name in _TOKENIZERS:
        return _TOKENIZERS[source.class_name].in_folder(source.folder)
    if source.class_name.endswith("Scheduler"):
        return scheduler_from_config(source.config)
    if source.name.endswith(("image_processor", "feature_extractor")):
        return CLIPImageProcessor(source.config)
    raise ConfigError(
        f"component {source.name!r} is a {source.class_name}, which is not supported; "
        f"networks: {', '.join(NETWORKS)}; tokenizers: {', '.join(_TOKENIZERS)}"
    )
