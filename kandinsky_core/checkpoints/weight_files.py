"""Finds the weight files in a component's folder: one file, the shards of an index, or pickles."""

from __future__ import annotations

import re
from pathlib import Path

from kandinsky_core.checkpoints.file_names import NATIVE, PICKLE_STEMS, SAFE_STEMS
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.json_files import load_json
from kandinsky_core.errors import CheckpointError

__all__ = ["find_pickles", "find_weight_files", "has_variant", "weights_of_variant"]

# Names of weight files, the preferred one first.
_SAFE = tuple(dict.fromkeys(f"{stem}{{}}.safetensors" for stem in SAFE_STEMS.values()))
_PICKLES = tuple(dict.fromkeys(f"{stem}{{}}.bin" for stem in PICKLE_STEMS.values()))
_STEM = re.compile(rf"(?:{'|'.join({*SAFE_STEMS.values(), *PICKLE_STEMS.values()})})(?=[.-])")
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_PATTERNS = ("*.safetensors*", "*.bin*")


def find_weight_files(folder: Path, variant: str | None) -> list[Path]:
    """Find the safetensors files, or the file of a framework's layout, in a component's folder.

    Args:
        folder: The component's folder.
        variant: Infix: `fp16` picks `diffusion_pytorch_model.fp16.safetensors` and its like.

    Raises:
        CheckpointError: There is no such file, a shard is missing or lies outside of the folder, or
            all weights are pickled. The message names the variants that there are.
    """
    infix = f".{variant}" if variant else ""
    if found := _first(folder, _SAFE, infix):
        return found
    for name in NATIVE.values():
        if not variant and inside(folder, name).is_file():
            return [folder / name]
    names = {path.name for kind in _PATTERNS for path in folder.glob(kind)}
    pickles = [name for form in _PICKLES for name in _names(form, infix) if name in names]
    if pickles:
        shards = "the shards of " if ".index" in pickles[0] else ""
        raise CheckpointError(
            f"{folder} holds only pickled weights ({shards}{pickles[0]}), which can run code when "
            "read: save them as safetensors first; `kandinsky convert` does, and runs none"
        )
    wanted = f"variant {variant!r}" if variant else "no variant"
    expected = " or ".join(form.format(infix) for form in _SAFE)
    raise CheckpointError(
        f"component {folder.name!r}: {folder} has no weights for {wanted}: expected {expected}; "
        f"{_available(names)}"
    )


def find_pickles(folder: Path, variant: str | None) -> list[Path]:
    """Find the pickled weights of a component, which only `kandinsky convert` reads.

    Returns:
        One file, or the shards of an index; nothing where there are none.

    Raises:
        CheckpointError: A shard is missing or lies outside of the folder.
    """
    return _first(folder, _PICKLES, f".{variant}" if variant else "")


def weights_of_variant(folder: Path, variant: str | None) -> list[Path]:
    """Return the safetensors files of one variant in a folder, with their indices.

    Args:
        folder: A component's folder.
        variant: Infix of the files; None for those without one.
    """
    wanted = {variant or ""}
    return [path for path in folder.glob(_PATTERNS[0]) if _variants({path.name}) == wanted]


def has_variant(folder: Path, variant: str) -> bool:
    """Tell whether a component's folder holds weights of a variant, safetensors or pickles."""
    names = {path.name for kind in _PATTERNS for path in folder.glob(kind)}
    return variant in _variants(names)


def _first(folder: Path, forms: tuple[str, ...], infix: str) -> list[Path]:
    for form in forms:
        single, *indices = (inside(folder, name) for name in _names(form, infix))
        if single.is_file():
            return [single]
        for index in indices:
            if index.is_file():
                return _shards(index)
    return []


def _names(form: str, infix: str) -> list[str]:
    """Return the names of a single file and of an index; libraries place a variant differently."""
    single = form.format(infix)
    return list(
        dict.fromkeys([single, f"{form.format('')}.index{infix}.json", f"{single}.index.json"])
    )


def _shards(index: Path) -> list[Path]:
    try:
        table = load_json(index)["weight_map"]
        names = sorted(set(table.values()))
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a shard has a name that is no text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not a weight index: {error!r}") from error
    shards = [inside(index.parent, name) for name in names]
    missing = [path.name for path in shards if not path.is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent} lacks {len(missing)} of {len(names)} shards named in {index.name}: "
            f"{', '.join(missing[:8])}"
        )
    return shards


def _available(names: set[str]) -> str:
    """Say which variants a folder has, by the names of its files."""
    found = {repr(infix) if infix else "no variant" for infix in _variants(names)}
    if not found:
        others = ", ".join(sorted(names)[:8]) or "none"
        return f"weight files there: {others}; copy or download the checkpoint whole"
    files = ", ".join(sorted(names)[:8])
    return f"there are weights for {', '.join(sorted(found))} ({files}): choose with variant="


def _variants(names: set[str]) -> set[str]:
    """Return the infixes of weight files by their names; an empty text stands for none."""
    found: set[str] = set()
    for name in names:
        if stem := _STEM.match(name):
            rest = _SHARD.sub("", name[stem.end() :].removesuffix(".json").replace(".index", ""))
            found.add(re.sub(r"\.(safetensors|bin)", "", rest).strip("."))
    return found
