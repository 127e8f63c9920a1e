"""Reads the settings of a LoRA: ranks and alphas, as PEFT and diffusers store them.

PEFT writes `adapter_config.json` beside a file; diffusers writes the same entries into a file's
header, each with `unet.` before its name. One rank and one alpha hold for all layers that
`rank_pattern` and `alpha_pattern` do not name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.json_files import load_json, parse_json
from kandinsky_core.checkpoints.lora_names import layer_name
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import why_not

__all__ = ["LARGEST", "PEFT_CONFIG", "LoraSettings", "settings_of"]

PEFT_CONFIG = "adapter_config.json"
_IN_HEADER = "lora_adapter_metadata"
LARGEST = 1e30  # of alpha and of r; what is larger does not fit float32 when it is multiplied
# A name of layers, or its end. A stranger's regular expression is never run: it can take for ever.
_PLAIN = re.compile(r"\^?[\w.-]+\$?", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """What stands beside the matrices.

    Attributes:
        rank: The rank of layers that `ranks` does not name.
        alpha: The alpha of layers that `alphas` does not name.
        rooted: Whether the scale is alpha / sqrt(r), as in rsLoRA, and not alpha / r.
        ranks: Ranks by the names of layers, or by the ends of names.
        alphas: Alphas in the same way.
    """

    rank: int
    alpha: float
    rooted: bool = False
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)

    def rank_of(self, layer: str) -> int:
        """Return the rank that the settings give a layer."""
        return int(_named(self.ranks, layer, self.rank))

    def scale_of(self, layer: str) -> float:
        """Return the factor of a layer's product: alpha / r, or alpha / sqrt(r)."""
        rank = self.rank_of(layer)
        return float(_named(self.alphas, layer, self.alpha)) / (rank**0.5 if self.rooted else rank)

    @classmethod
    def read(cls, found: Any) -> LoraSettings:
        """Check settings that were read as JSON, or given as a dict.

        Raises:
            KeyError: `r` or `lora_alpha` is missing.
            ValueError: A value is of the wrong type, or entries contradict each other.
            CheckpointError: They are those of a DoRA, or of an adapter with biases.
        """
        plain = _plain(found)
        for name, what in (("use_dora", "a DoRA"), ("lora_bias", "an adapter with biases")):
            if plain.get(name):
                raise CheckpointError(f"its settings say that it is {what}: that is not supported")
        root = plain.get("use_rslora")
        if root not in (None, True, False):
            raise ValueError(f"use_rslora is {root!r}, and is true or false")
        return cls(
            rank=_rank("r", plain["r"]),
            alpha=_alpha("lora_alpha", plain["lora_alpha"]),
            rooted=bool(root),
            ranks=_pattern("rank_pattern", plain.get("rank_pattern"), _rank),
            alphas=_pattern("alpha_pattern", plain.get("alpha_pattern"), _alpha),
        )


def settings_of(file: Path | None, header: Mapping[str, str], given: Any) -> LoraSettings | None:
    """Return the settings of a LoRA; None where nothing says any.

    Args:
        file: Its file; None for one that is given as a dict.
        header: The texts in the file's header.
        given: Settings that the caller gives; they go before the file's own.

    Raises:
        CheckpointError: The settings cannot be read, or are of a kind that is not supported.
    """
    whose = "metadata=" if given is not None else str(file)
    try:
        found = given
        text = header.get(_IN_HEADER)
        if found is None and text is not None:
            found = parse_json(text)
        if found is None and file is not None and file.name.startswith("adapter_model"):
            beside = inside(file.parent, PEFT_CONFIG)
            found = load_json(beside) if beside.is_file() else None
        return None if found is None else LoraSettings.read(found)
    except CheckpointError as error:
        raise CheckpointError(f"{whose}: {error}") from error
    except KeyError as error:
        missing = error.args[0]
        raise CheckpointError(f"{whose} has settings that cannot be read: no {missing}") from error
    except (OSError, ValueError) as error:
        reason = why_not(error)
        raise CheckpointError(f"{whose} has settings that cannot be read: {reason}") from error


def _plain(found: Any) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise ValueError(f"{type(found).__name__} in place of an object")
    plain: dict[str, Any] = {}
    for key, value in found.items():
        name = str(key).rpartition(".")[2]  # diffusers puts `unet.` before each
        if name in plain and plain[name] != value:
            raise ValueError(f"two values of {name}")
        plain[name] = value
    return plain


def _rank(name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value <= LARGEST:
        raise ValueError(f"{name} is {value!r}, and is a positive whole number")
    return value


def _alpha(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise ValueError(f"{name} is {value!r}, and is a finite number")
    return float(value)


def _pattern(name: str, found: Any, check: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} is {type(found).__name__}, and is an object")
    checked = {}
    for key, value in found.items():
        plain = str(key).replace("\\.", ".")
        if not _PLAIN.fullmatch(plain):
            raise ValueError(
                f"{name} has the entry {key!r}, and is read by names of layers or their ends, not "
                "by regular expressions"
            )
        checked[plain.removesuffix("$")] = check(f"{name} of {key}", value)
    return checked


def _named(pattern: Mapping[str, Any], layer: str, default: Any) -> Any:
    """Return the first entry that is the layer's name or, without `^`, an end of it."""
    for key, value in pattern.items():
        name = layer_name(key.removeprefix("^"))
        if layer == name or (not key.startswith("^") and layer.endswith(f".{name}")):
            return value
    return default
