"""Divides weights among files of a largest size, under the names that diffusers gives them.

The rules are those of diffusers 0.39 and transformers: a shard is filled until the next tensor
would exceed its size, and a tensor that is larger has a shard of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.safetensors_writer import (
    Specs,
    file_order,
    spec_size,
    write_safetensors,
)
from kandinsky_core.checkpoints.saved_folder import write_json
from kandinsky_core.errors import InvalidInputError

__all__ = ["LARGEST_SHARD", "checked_variant", "shard_size", "write_shards"]

LARGEST_SHARD = "10GB"
"""The size of a shard where the caller names none, as in diffusers."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_VARIANT = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_METADATA = {"format": "pt"}  # libraries of PyTorch refuse files without it


def shard_size(value: int | str | None) -> int:
    """Return the bytes that a shard may have.

    Args:
        value: Bytes, or a number with a unit: `10GB`, `200MB`. A GB is 10**9 bytes, as in
            diffusers. None takes `LARGEST_SHARD`.

    Raises:
        InvalidInputError: It is neither, or not positive.
    """
    value = LARGEST_SHARD if value is None else value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        value = int(float(match[1]) * 1000 ** _POWERS[match[2].upper()])
    if type(value) is not int or value < 1:
        raise InvalidInputError(
            f"max_shard_size={value!r}: give a number of bytes, or one with a unit as in '5GB'"
        )
    return value


def checked_variant(variant: Any) -> str | None:
    """Return the infix of weight files, which becomes a part of their names.

    Raises:
        InvalidInputError: It is no plain word.
    """
    if variant is None or (isinstance(variant, str) and _VARIANT.fullmatch(variant)):
        return variant
    raise InvalidInputError(
        f"variant={variant!r}: give a word of letters, digits, '_' and '-', such as 'fp16'"
    )


def write_shards(
    folder: Path,
    stem: str,
    specs: Specs,
    read: Callable[[list[str]], Callable[[str], Array]],
    *,
    variant: str | None,
    largest: int,
) -> None:
    """Write one file, or several with an index.

    Args:
        folder: The folder of the files.
        stem: Name of the files without variant, number and ending.
        specs: Shape and dtype of each tensor.
        read: Takes the names of the tensors of one file in the order in which they are read.
            It returns what gives the values of each.
        variant: Infix of the files' names.
        largest: Bytes that a file may have, without its header.
    """
    infix = f".{variant}" if variant else ""
    shards = _divided(specs, largest)
    if len(shards) == 1:
        order = file_order(specs)
        write_safetensors(folder / f"{stem}{infix}.safetensors", specs, read(order), _METADATA)
        return
    homes: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"{stem}{infix}-{number:05}-of-{len(shards):05}.safetensors"
        part = {name: specs[name] for name in names}
        write_safetensors(folder / file, part, read(file_order(part)), _METADATA)
        homes |= dict.fromkeys(names, file)
    total = sum(map(spec_size, specs.values()))
    index = {"metadata": {"total_size": total}, "weight_map": homes}
    write_json(folder / f"{stem}.safetensors.index{infix}.json", index)


def _divided(specs: Specs, largest: int) -> list[list[str]]:
    """Return the names of the tensors of each file."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, spec in specs.items():
        size = spec_size(spec)
        if shards[-1] and filled + size > largest:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards
