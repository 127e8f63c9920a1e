"""Checks `preprocessor_config.json`, which says how pictures become pixels for CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_core.configs.rules import (
    Rule,
    list_of,
    number,
    of_annotation,
    optional,
    shown,
    whole_number,
)
from kandinsky_core.errors import ConfigError

__all__ = ["preprocessor_config"]

_SIDE = whole_number(1, 4096)  # pixels; published ones have 224


def _parse_size(value: object) -> object:
    """Allow a side, as old files have it, or an object that names sides."""
    if not isinstance(value, Mapping):
        return _SIDE.parse(value)
    if not 0 < len(value) <= 4:
        raise ValueError
    return {name: _SIDE.parse(side) for name, side in value.items()}


_SIZE = Rule(f"{_SIDE.allowed}, or an object with such numbers", _parse_size)
_FLAG = of_annotation(bool)
_RULES: Mapping[str, Rule] = {
    "crop_size": _SIZE,
    "do_center_crop": _FLAG,
    "do_normalize": _FLAG,
    "do_rescale": _FLAG,
    "do_resize": _FLAG,
    "image_mean": list_of(number("a number from -1000 to 1000", lambda v: abs(v) <= 1000), 3),
    "image_std": list_of(number("a number from 0.001 to 1000", lambda v: 1e-3 <= v <= 1000), 3),
    "resample": optional(whole_number(0, 5)),
    "size": _SIZE,
}


def preprocessor_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of the file, where every field that is used has a type and size of use.

    Raises:
        ConfigError: A field has another type, or is out of range.
    """
    config = dict(raw)
    for name, rule in _RULES.items():
        if name not in config:
            continue
        try:
            config[name] = rule.parse(config[name])
        except ValueError:
            raise ConfigError(
                f"preprocessor_config.json: {name} is {shown(raw[name])}; allowed: {rule.allowed}"
            ) from None
    for name in ("image_mean", "image_std"):
        if name in config and len(config[name]) != 3:
            raise ConfigError(
                f"preprocessor_config.json: {name} is {shown(raw[name])}; allowed: three numbers"
            )
    return config
