"""Finds the tensors of a LoRA: in a file, a folder, a repository of the hub, or a dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions, fetch_files, is_hub_id, listed_files
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.lora_settings import PEFT_CONFIG
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.checkpoints.user_paths import user_path
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import why_not
from kandinsky_core.seam.stored_dtypes import BY_NAME
from kandinsky_core.seam.tensors import Tensors

__all__ = ["LoraSource", "find_lora", "require_lora_name"]

_FILE_NAMES = (
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
_SUFFIXES = (".safetensors", ".bin")
# Words in the names of files that training programs leave beside a LoRA.
_OTHERS = ("scheduler", "optimizer", "checkpoint")
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LoraSource:
    """The tensors of a LoRA.

    Attributes:
        tensors: The tensors by the names that they have there.
        label: What the user calls it, for messages and for the metadata of pictures.
        file: Its file; None for a dict.
        header: The texts in the file's header.
        others: Names of entries of a pickle that are no tensors.
    """

    tensors: Tensors
    label: str
    file: Path | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        source: str | Path | Mapping[str, Any],
        *,
        weight_name: str | None = None,
        subfolder: str | None = None,
        use_safetensors: bool | None = None,
        hub: HubOptions | None = None,
    ) -> LoraSource:
        """Open a LoRA, and download it where it is on the hub.

        Args:
            source: A file, a folder, a hub id, a file on the hub (`owner/name/file.safetensors`),
                or a dict of arrays of any framework.
            weight_name: Name of the file in a folder or repository; None takes the file of a usual
                name, else the only one.
            subfolder: The file's folder in that folder or repository.
            use_safetensors: True takes no `.bin`, False nothing else.
            hub: Options of the hub.

        Raises:
            InvalidInputError: There is no such file, several could be meant, or it is a dict of
                something else than arrays.
            ModelNotFoundError: The hub does not deliver it.
            CheckpointError: The file is damaged, or lies outside of its folder.
        """
        if isinstance(source, Mapping):
            return cls(_DictTensors(source), "a dict of arrays")
        wanted = _Wanted.check(weight_name, subfolder, use_safetensors)
        file, label = _found(source, wanted, hub or HubOptions())
        tensors: Any = TorchFile(file) if file.suffix == ".bin" else SafetensorsFiles([file])
        others = tuple(map(str, getattr(tensors, "others", ())))
        return cls(tensors, label, file, getattr(tensors, "metadata", {}), others)

    def with_alphas(self, alphas: Mapping[str, Any] | None) -> LoraSource:
        """Return the same with alphas that stand in no file, by names such as `....to_q.alpha`.

        Raises:
            InvalidInputError: They are no numbers by names.
        """
        if not alphas:
            return self
        if not isinstance(alphas, Mapping):
            raise InvalidInputError(
                f"network_alphas={alphas!r}: give a dict of numbers by the names of layers"
            )
        return _changed(self, _Joined(_DictTensors(alphas), self.tensors))

    def under(self, prefix: str | None) -> LoraSource:
        """Return the tensors whose names start with `PREFIX.` alone, without it; None takes all.

        Raises:
            InvalidInputError: There are none.
        """
        if prefix is None:
            return self
        start = f"{prefix}."
        names = {
            name.removeprefix(start): name
            for name in self.tensors.names()
            if name.startswith(start)
        }
        if not names:
            some = ", ".join(list(self.tensors.names())[:_SHOWN])
            raise InvalidInputError(
                f"{self.label} has no tensor whose name starts with {start!r} ({some}): give "
                "prefix=None to take all tensors"
            )
        return _changed(self, _Renamed(names, self.tensors))


def find_lora(path: Path) -> Path:
    """Return the file of a LoRA: `path` itself, or the file of a usual name in that folder.

    Raises:
        InvalidInputError: There is no such file.
        CheckpointError: The file is a link that leads out of the folder.
    """
    return _in_place(path, _Wanted())


def require_lora_name(name: str) -> None:
    """Refuse a LoRA that is not there, without asking the hub.

    Raises:
        InvalidInputError: There is no such file, and it cannot be one of the hub's.
        CheckpointError: The file is a link that leads out of its folder.
    """
    path = user_path(name)
    if path.exists() or _on_hub(name, path) is None:
        find_lora(path)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which file of a folder or repository is asked for."""

    weight_name: str | None = None
    subfolder: str | None = None
    suffixes: tuple[str, ...] = _SUFFIXES

    @classmethod
    def check(cls, weight_name: Any, subfolder: Any, use_safetensors: Any) -> _Wanted:
        for name, value in (("weight_name", weight_name), ("subfolder", subfolder)):
            if value is not None and not isinstance(value, str):
                raise InvalidInputError(f"{name}={value!r}: give the name as text")
        if weight_name is not None and not weight_name.endswith(_SUFFIXES):
            raise InvalidInputError(
                f"weight_name={weight_name!r}: a LoRA is a .safetensors or .bin file"
            )
        suffixes = _SUFFIXES if use_safetensors is None else _SUFFIXES[not use_safetensors :][:1]
        return cls(weight_name, subfolder or None, suffixes)

    @property
    def usual(self) -> tuple[str, ...]:
        """The names to look for first."""
        if self.weight_name is not None:
            return (self.weight_name,)
        return tuple(name for name in _FILE_NAMES if name.endswith(self.suffixes))

    def within(self, name: str) -> str:
        """Return the place of a file in the folder or repository."""
        return name if self.subfolder is None else f"{self.subfolder.strip('/')}/{name}"

    def only(self, names: Iterable[str], where: str) -> str | None:
        """Return the one file among names that may be a LoRA; None if there is none.

        Raises:
            InvalidInputError: There are several.
        """
        start = self.within("")
        inner = [name.removeprefix(start) for name in names if name.startswith(start)]
        for suffix in self.suffixes:
            found = [
                name
                for name in sorted(inner)
                if name.endswith(suffix) and "/" not in name and not any(w in name for w in _OTHERS)
            ]
            if len(found) > 1:
                raise InvalidInputError(
                    f"{where} holds {len(found)} files that may be meant "
                    f"({', '.join(found[:_SHOWN])}): choose one with weight_name="
                )
            if found:
                return found[0]
        return None


def _found(source: Any, wanted: _Wanted, hub: HubOptions) -> tuple[Path, str]:
    """Return the file and what to call it."""
    if not isinstance(source, (str, Path)) or not str(source):
        raise InvalidInputError(
            f"a LoRA is a file, a folder, a hub id (owner/name) or a dict of arrays, not {source!r}"
        )
    path = user_path(source)
    repo = None if path.exists() or isinstance(source, Path) else _on_hub(str(source), path)
    if repo is None:
        label = str(source)
        if path.is_dir() and (wanted.weight_name or wanted.subfolder):
            label = str(path / wanted.within(wanted.weight_name or ""))
        return _in_place(path, wanted), label
    name, inner = repo
    if inner is not None:
        folder, _, file = inner.rpartition("/")
        wanted = _Wanted(file, folder or None)
    place = _fetched(name, wanted, hub)
    if wanted.weight_name is None and wanted.subfolder is None:
        return place, name
    return place, f"{name}/{wanted.within(place.name)}"


def _on_hub(name: str, path: Path) -> tuple[str, str | None] | None:
    """Return repository and file, if a name can be one of the hub's; the file may be None.

    A path of a folder that is here is never taken for a file of the hub: it has a typing error.
    """
    if is_hub_id(name) and not name.endswith(_SUFFIXES):
        return name, None
    owner, _, rest = name.partition("/")
    repo, _, inner = rest.partition("/")
    known = is_hub_id(f"{owner}/{repo}") and inner.endswith(_SUFFIXES)
    return (f"{owner}/{repo}", inner) if known and not Path(path.parts[0]).exists() else None


def _in_place(path: Path, wanted: _Wanted) -> Path:
    if path.is_dir():
        folder = path if wanted.subfolder is None else inside(path, wanted.subfolder.strip("/"))
        for name in wanted.usual:
            if (folder / name).is_symlink() or (folder / name).is_file():
                return inside(folder, name)
        listed = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
        here = _Wanted(suffixes=wanted.suffixes)
        other = None if wanted.weight_name is not None else here.only(listed, str(folder))
        if other is None:
            raise InvalidInputError(
                f"{folder} holds no LoRA: expected one of {', '.join(wanted.usual)}"
            )
        return inside(folder, other)
    if not path.is_file():
        raise InvalidInputError(f"no LoRA {str(path)!r}: there is no such file or folder")
    if path.suffix not in _SUFFIXES:
        raise InvalidInputError(f"{path}: a LoRA is a .safetensors or .bin file")
    return path


def _fetched(repo: str, wanted: _Wanted, hub: HubOptions) -> Path:
    names = [wanted.within(name) for name in wanted.usual]
    folder = fetch_files(repo, hub, [*names, wanted.within(PEFT_CONFIG)])
    for name in names:
        path = inside(folder, name)
        if path.is_file():
            return path
    if wanted.weight_name is None and not hub.local_files_only:
        other = wanted.only(listed_files(repo, hub), repo)
        if other is not None:
            return inside(fetch_files(repo, hub, [wanted.within(other)]), wanted.within(other))
    raise InvalidInputError(
        f"{repo} on the hub, or what the cache has of it, holds no {' or '.join(names)}: give the "
        "file's name with weight_name="
    )


class _DictTensors:
    """Arrays of any framework in a dict."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        wrong = [name for name in arrays if not isinstance(name, str)]
        if wrong:
            raise InvalidInputError(f"a LoRA as a dict has names of tensors, not {wrong[0]!r}")
        self._arrays = {name: _array(name, value) for name, value in arrays.items()}

    def names(self) -> Iterable[str]:
        return self._arrays.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        array = self._arrays[name]
        known = BY_NAME.get(array.dtype.name)
        return array.shape, array.dtype.name if known is None else known.code

    def read(self, name: str) -> Array:
        return self._arrays[name]


class _Joined:
    """Two sets of tensors; the first goes before the second."""

    def __init__(self, first: Tensors, second: Tensors) -> None:
        self._home = {name: part for part in (second, first) for name in part.names()}

    def names(self) -> Iterable[str]:
        return self._home.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        return self._home[name].spec(name)

    def read(self, name: str) -> Array:
        return self._home[name].read(name)


class _Renamed:
    """Some tensors under other names."""

    def __init__(self, names: Mapping[str, str], tensors: Tensors) -> None:
        self._names, self._tensors = names, tensors

    def names(self) -> Iterable[str]:
        return self._names.keys()

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        return self._tensors.spec(self._names[name])

    def read(self, name: str) -> Array:
        return self._tensors.read(self._names[name])


def _array(name: str, value: Any) -> Array:
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor, whose bfloat16 NumPy does not know
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        elif hasattr(value, "asnumpy"):  # a MindSpore tensor
            value = value.asnumpy()
        array = np.asarray(value)
    except Exception as error:  # a foreign object may raise anything when it is converted
        raise InvalidInputError(f"{name} is no array: {why_not(error)}") from error
    if array.dtype.name not in BY_NAME:
        raise InvalidInputError(f"{name} is no array of numbers: give arrays or tensors by names")
    return array


def _changed(source: LoraSource, tensors: Tensors) -> LoraSource:
    return LoraSource(tensors, source.label, source.file, source.header, source.others)
