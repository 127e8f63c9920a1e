"""The weights of one component, read from safetensors files one tensor at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from kandinsky_core.errors import CheckpointError
from kandinsky_core.interfaces import Array

__all__ = ["SafetensorsFiles", "find_weight_files"]

# Names that diffusers and transformers give to weight files, in the order of preference.
_STEMS = ("diffusion_pytorch_model", "model")
_PICKLES = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


class SafetensorsFiles:
    """One or several safetensors files seen as one set of tensors.

    The files are memory-mapped; reading copies one tensor, which also mends the misaligned data of
    the published 2.1 files.

    Args:
        files: The shards, in any order.

    Raises:
        CheckpointError: A file is truncated or no safetensors, or two files hold the same name.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._owner: dict[str, Path] = {}
        self._specs: dict[str, tuple[tuple[int, ...], str]] = {}
        self._open = {path: _open(path) for path in files}
        for path, handle in self._open.items():
            for name in handle.keys():  # noqa: SIM118 - the handle is no mapping
                if name in self._owner:
                    raise CheckpointError(
                        f"tensor {name!r} is in both {self._owner[name]} and {path}: "
                        "delete the file that does not belong to this checkpoint"
                    )
                view = handle.get_slice(name)
                self._owner[name] = path
                self._specs[name] = (tuple(view.get_shape()), view.get_dtype())

    def names(self) -> Iterable[str]:
        """Return every tensor name."""
        return self._specs.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and safetensors dtype of a tensor, from the header alone."""
        return self._specs[name]

    def read(self, name: str) -> Array:
        """Return a copy of a tensor's values in the stored dtype (bfloat16 as `ml_dtypes`)."""
        if self._specs[name][1] == "BF16":
            import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16
        values: Array = self._open[self._owner[name]].get_tensor(name)
        return values


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}): the file is damaged or was not "
            "downloaded whole; fetch it again"
        ) from error


def find_weight_files(folder: Path, variant: str | None) -> list[Path]:
    """Find the weight files in a component's folder: one file, or the shards of an index.

    Args:
        folder: The component's folder.
        variant: `fp16` picks `diffusion_pytorch_model.fp16.safetensors` and its like.

    Raises:
        CheckpointError: There is none, a shard is missing, or only pickled weights are there.
    """
    infix = f".{variant}" if variant else ""
    for stem in _STEMS:
        single = folder / f"{stem}{infix}.safetensors"
        if single.is_file():
            return [single]
        for index in (
            folder / f"{stem}.safetensors.index{infix}.json",
            folder / f"{stem}{infix}.safetensors.index.json",
        ):
            if index.is_file():
                return _shards(index)
    pickles = [name for name in _PICKLES if (folder / name).is_file()]
    if pickles:
        raise CheckpointError(
            f"{folder} holds only pickled weights ({pickles[0]}), which can run code when read: "
            "save them as safetensors first"
        )
    there = ", ".join(sorted(path.name for path in folder.glob("*.safetensors"))) or "none"
    wanted = f"variant {variant!r}" if variant else "no variant"
    raise CheckpointError(
        f"{folder} has no weights for {wanted}: expected {_STEMS[0]}{infix}.safetensors or "
        f"{_STEMS[1]}{infix}.safetensors, safetensors files there: {there}"
    )


def _shards(index: Path) -> list[Path]:
    try:
        table = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(table.values()))
        missing = [name for name in names if not (index.parent / name).is_file()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not a weight index: {error!r}") from error
    if missing:
        raise CheckpointError(
            f"{index.parent} lacks {len(missing)} of {len(names)} shards named in {index.name}: "
            f"{', '.join(missing[:8])}"
        )
    return [index.parent / name for name in names]
