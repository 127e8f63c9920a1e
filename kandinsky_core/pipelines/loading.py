"""From a model's name to a pipeline's components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kandinsky_core.backend import get_backend
from kandinsky_core.checkpoint import Checkpoint, Component
from kandinsky_core.dtypes import component_dtype
from kandinsky_core.errors import ConfigError
from kandinsky_core.hub import HubOptions, resolve_model
from kandinsky_core.schedulers import scheduler_from_config
from kandinsky_core.tokenizer import ClipTokenizer

__all__ = ["load_components"]

_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
_NETWORKS = (
    "CLIPTextModelWithProjection",
    "CLIPVisionModelWithProjection",
    "PriorTransformer",
    "UNet2DConditionModel",
    "VQModel",
)


def load_components(
    model: str | Path,
    *,
    part: str,
    names: Sequence[str],
    ready: Mapping[str, Any],
    backend: str | None,
    dtype: str,
    options: HubOptions,
) -> dict[str, Any]:
    """Load what is not `ready`; the configs of all are read before the weights of any.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    chosen = get_backend(backend)
    wanted = [name for name in names if name not in ready]
    folder = resolve_model(model, part, options, wanted)
    checkpoint = Checkpoint.open(folder, name=str(model), variant=options.variant)
    sources = checkpoint.require(wanted)
    light = {name: _light(source) for name, source in sources.items() if not _is_network(source)}
    heavy = {
        name: chosen.load(source, component_dtype(name, dtype))
        for name, source in sources.items()
        if name not in light
    }
    return {**ready, **light, **heavy}


def _is_network(source: Component) -> bool:
    return source.class_name in _NETWORKS


def _light(source: Component) -> Any:
    """Load a component that has no weights."""
    if source.class_name in _TOKENIZERS:
        return ClipTokenizer.from_pretrained(source.folder)
    if source.class_name.endswith("Scheduler"):
        return scheduler_from_config(source.config)
    if source.name == "image_processor":
        return source.config
    raise ConfigError(
        f"component {source.name!r} is a {source.class_name}, which is not supported; "
        f"networks: {', '.join(_NETWORKS)}; tokenizers: {', '.join(_TOKENIZERS)}"
    )

