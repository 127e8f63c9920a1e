"""The arguments of diffusers' `from_pretrained` that change nothing here, or are refused."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.devices import DEVICE_KINDS, device_name

__all__ = ["ACCEPTED_OPTIONS", "REFUSED_OPTIONS", "known_options", "model_by_name"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_MODEL_NAMES = ("pretrained_model_name_or_path", "pretrained_model_or_path")
_STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")
_STREAMED = "weights are always streamed"
_NO_CODE = "no code of a model is run"
_SESSION = "it is for ONNX"
_PLACES = "give device=, a mapping of devices by component, or offload=True"

ACCEPTED_OPTIONS: Mapping[str, str] = {
    "add_watermarker": "Kandinsky's pictures have no watermark",
    "disable_mmap": _STREAMED,
    "load_connected_pipeline": "a combined pipeline always loads its prior",
    "low_cpu_mem_usage": _STREAMED,
    "max_memory": "the memory of the device is looked up before loading",
    "mirror": "the environment variable HF_ENDPOINT names another hub",
    "offload_folder": "weights are not moved to a disk",
    "offload_state_dict": _STREAMED,
    "provider": _SESSION,
    "provider_options": _SESSION,
    "requires_safety_checker": "Kandinsky has no safety checker",
    "resume_download": "a download always goes on where it ended",
    "sess_options": _SESSION,
    "trust_remote_code": _NO_CODE,
}
"""Arguments that change nothing, whatever their value, each with the reason."""

REFUSED_OPTIONS: Mapping[str, str] = {
    "custom_pipeline": f"{_NO_CODE}: use a class of this library",
    "custom_revision": f"{_NO_CODE}: use a class of this library",
    "dduf_file": "DDUF files are not read: give a folder or a hub id",
    "feature_extractor": "Kandinsky has none: leave it out",
    "from_flax": "Flax's old files are not read: leave it out",
    "local_dir": "give cache_dir=, or download the folder with the `hf` command and load that",
    "output_loading_info": "a pipeline alone is returned, and what does not fit is an error",
    "proxies": "set the environment variable HTTPS_PROXY, which the hub's client reads",
    "quantization_config": "give quantize='int8', which keeps weights in 8 bits",
    "safety_checker": "Kandinsky has none, and pictures would not be checked: leave it out",
    "subfolder": "give the folder itself: a pipeline's name stands for all its parts",
    "use_flashpack": "FlashPack files are not read: leave it out",
    "use_onnx": "ONNX files are not read: leave it out",
}
"""Arguments that are refused, each with what to do instead; None and False change nothing."""


def model_by_name(load: Callable[P, R]) -> Callable[P, R]:
    """Let a `from_pretrained` take its first argument by the names that diffusers has for it."""

    @functools.wraps(load)
    def with_names(*args: P.args, **options: P.kwargs) -> R:
        for name in _MODEL_NAMES:
            if name in options:
                if len(args) > 1 or "model" in options:
                    raise InvalidInputError(f"from_pretrained: give either model or {name}")
                options["model"] = options.pop(name)
        return load(*args, **options)

    return with_names


def known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `from_pretrained` without those that change nothing.

    `device_map` becomes `device`. An argument that changes nothing is logged.

    Args:
        options: The arguments beside the model.

    Raises:
        InvalidInputError: An argument is refused; the message says what to do instead.
    """
    known: dict[str, Any] = {}
    for name, value in options.items():
        if name in REFUSED_OPTIONS:
            if value is not None and value is not False:
                raise InvalidInputError(f"from_pretrained({name}=...): {REFUSED_OPTIONS[name]}")
            logger.info("from_pretrained(%s=%s) changes nothing", name, value)
        elif name in ACCEPTED_OPTIONS:
            if value is not None:
                reason = ACCEPTED_OPTIONS[name]
                logger.info("from_pretrained(%s=...) changes nothing: %s", name, reason)
        elif name != "device_map":
            known[name] = value
    mapped = options.get("device_map")
    if mapped is None:
        return known
    if known.get("device") is not None:
        raise InvalidInputError("give either device= or device_map=")
    return known | {"device": _devices(mapped)}


def _devices(device_map: Any) -> Any:
    """Return `device_map` as the argument `device`."""
    if isinstance(device_map, Mapping):
        return {name or "default": _device(place) for name, place in device_map.items()}
    if isinstance(device_map, str) and device_map in _STRATEGIES:
        logger.info("device_map=%r takes the backend's own device for all networks", device_map)
        return None
    return _device(device_map)


def _device(place: Any) -> Any:
    if place == "disk":
        raise InvalidInputError(f"device_map: weights are not kept on a disk; {_PLACES}")
    if isinstance(place, int) and not isinstance(place, bool):
        return f"gpu:{place}"
    if device_name(place) is None:
        raise InvalidInputError(
            f"device_map={place!r}: give auto, balanced, or a device "
            f"({', '.join(DEVICE_KINDS)}) for all or for each component"
        )
    return place
