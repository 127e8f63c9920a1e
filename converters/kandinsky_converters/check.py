"""Checks that a converted folder holds exactly the values of its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import audit
from kandinsky_converters.layouts.numbers import cast
from kandinsky_converters.parts import Part, Source
from kandinsky_converters.sources import REPORT, open_source
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_names import NULL_EMBEDDING
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.user_paths import user_path
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["check"]


def check(
    source: str | Path,
    converted: str | Path,
    *,
    options: HubOptions | None = None,
    part: str | None = None,
) -> Iterator[str]:
    """Compare every value of a converted folder with its source, bit by bit.

    Each tensor of the source is cast to the dtype of its copy first.

    Args:
        source: The model that was converted; see `kandinsky_converters.sources.open_source`.
        converted: The folder that `convert` wrote, in any layout.
        options: How to fetch the source from the hub.
        part: The `part` that was given to `convert`.

    Yields:
        One line for each difference; nothing where all is equal.

    Raises:
        CheckpointError: One of the two cannot be read, or `converted` is no conversion.
    """
    folder = user_path(converted)
    given = open_source(source, options or HubOptions(), part=part)
    for half in open_source(folder, HubOptions()):
        place = folder / half.subfolder
        if not (place / REPORT).is_file():
            raise CheckpointError(f"{place} has no {REPORT}: was it made by convert?")
        # A single half may have been converted alone.
        theirs = [item for item in given if item.subfolder == half.subfolder] or given
        parts = {network.name: network for item in theirs for network in item.parts}
        for network in half.parts:
            if network.name not in parts:
                yield f"{network.name}: the source has no such component"
                continue
            for difference in _compare(parts[network.name], network):
                yield f"{network.name}: {difference}"
        yield from _compare_files(theirs, half)


def _compare_files(sources: Sequence[Source], converted: Source) -> Iterator[str]:
    """Yield a line for each config, tokenizer, scheduler or card that is missing or differs."""
    names = {part.name for part in converted.parts}
    whole = Path("model_index.json") in converted.others
    wanted: dict[Path, bytes] = {}
    for source in sources:
        if source.folder is not None:
            wanted |= {
                path: inside(source.folder, path.as_posix()).read_bytes() for path in source.others
            }
        wanted |= {Path(name): content for name, content in source.made.items()}
    for path, content in wanted.items():
        if not (whole or path.parts[0] in names):
            continue
        assert converted.folder is not None
        copy = inside(converted.folder, path.as_posix())
        if not copy.is_file():
            yield f"{path} is missing"
        elif copy.read_bytes() != content:
            yield f"{path} differs"


def _compare(source: Part, converted: Part) -> Iterator[str]:
    expected = expected_tensors(source.class_name, source.config)
    given = audit(source.class_name, expected, source.tensors)
    made = audit(converted.class_name, expected, converted.tensors)
    if given.fault or made.fault:
        yield given.fault or made.fault
        return
    if source.class_name != converted.class_name or source.config != converted.config:
        yield "another class or config"
    if not _same(source.null_embedding, converted.null_embedding):
        yield f"{NULL_EMBEDDING} differs"
    theirs = {new: old for old, new in made.used.items()}
    for old, new in given.used.items():
        if new not in theirs:
            yield f"{new} is missing"
            continue
        dtype = STORED[converted.tensors.spec(theirs[new])[1]].numpy
        mine = cast(source.tensors.read(old), dtype)
        other = cast(converted.tensors.read(theirs[new]), dtype)
        different = int(np.count_nonzero(_bits(mine) != _bits(other)))
        if different:
            yield f"{new} differs in {different} of {mine.size} values"


def _same(first: Array | None, second: Array | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()


def _bits(array: Array) -> Array:
    return array.reshape(-1).view(f"u{array.dtype.itemsize}")
