"""Converts any source to any layout, tensor by tensor, and accounts for each tensor."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import Audit, audit
from kandinsky_converters.layouts.layouts import LAYOUTS, Relabelled, with_layout
from kandinsky_converters.layouts.numbers import all_finite, cast, refuse_non_finite
from kandinsky_converters.manifests import manifests, recognise
from kandinsky_converters.output import new_folder
from kandinsky_converters.parts import Part, Source
from kandinsky_converters.sources import REPORT, open_source
from kandinsky_converters.writers import write_mindspore, write_safetensors
from kandinsky_core import __version__
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.file_names import (
    NATIVE,
    NULL_EMBEDDING,
    NULL_EMBEDDING_FILE,
    SAFE_STEMS,
)
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.inside import inside
from kandinsky_core.checkpoints.user_paths import user_path
from kandinsky_core.configs.networks import NETWORKS, unused_tensors
from kandinsky_core.errors import CheckpointError, InvalidInputError, KandinskyError
from kandinsky_core.seam.dtypes import component_dtype, dtype_name
from kandinsky_core.seam.stored_dtypes import BY_NAME, STORED
from kandinsky_core.seam.tensors import Tensors

__all__ = ["Conversion", "Record", "convert"]

FORMAT = 1  # version of conversion.json's format


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of one converted network; a part of conversion.json.

    Attributes:
        class_name: The network's class; `class` in the file.
        files: SHA-256 of each file written, by its name.
        sources: SHA-256 of each file read, by its name.
        known: Name of the published component that has these tensors; None where none has.
        published: Whether a file read equals a published file.
        source_tensors: How many tensors the source holds.
        used: How many of the source's tensors were written, in one or several parts or to a file of
            their own.
        ignored: Why each of the others was left out, by its name.
        tensors: How many tensors the network's file holds.
        parameters: How many values these tensors hold.
        dtypes: Dtypes of these tensors, as safetensors names them.
    """

    class_name: str
    files: Mapping[str, str]
    sources: Mapping[str, str]
    known: str | None
    published: bool
    source_tensors: int
    used: int
    ignored: Mapping[str, str]
    tensors: int
    parameters: int
    dtypes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The record of all that was converted into one folder: conversion.json.

    Attributes:
        source: The source as the user named it.
        target: One of `LAYOUTS`.
        dtype: Dtype that the user asked for; None kept the dtype of each tensor.
        components: The networks' records by component name.
        versions: Versions of this library and of NumPy.
    """

    source: str
    target: str
    dtype: str | None
    components: Mapping[str, Record]
    versions: Mapping[str, str] = field(
        default_factory=lambda: {"kandinsky": __version__, "numpy": version("numpy")}
    )

    def as_json(self) -> str:
        """Return the content of conversion.json."""
        data: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for record in data["components"].values():
            record["class"] = record.pop("class_name")
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def convert(
    source: str | Path,
    target: str,
    output: str | Path,
    *,
    dtype: Any = None,
    components: Sequence[str] = (),
    options: HubOptions | None = None,
    part: str | None = None,
    on_tensor: Callable[[str, int], None] | None = None,
) -> dict[str, Conversion]:
    """Convert a model to another layout.

    Nothing is written before every tensor of every network is accounted for. The output folder is
    complete or does not exist. At most one tensor is in memory.

    Args:
        source: See `kandinsky_converters.sources.open_source`.
        target: `diffusers`, `jax` or `mindspore`.
        output: The folder to make.
        dtype: Dtype of all networks except MoVQ, which always has float32 at least. None keeps the
            stored dtypes.
        components: Names of the only components to convert; all when empty.
        options: How to fetch from the hub.
        part: Which of several models a folder of originals becomes, as a whole model; see
            `kandinsky_converters.originals.whole_models.PARTS`.
        on_tensor: Called after each tensor, with the component and the number of bytes.

    Returns:
        The record of each folder, by subfolder of the output (empty where the source is a single
        model). Each folder also holds its record as conversion.json.

    Raises:
        InvalidInputError: An option is wrong, or the output cannot be written.
        CheckpointError: The source is damaged or does not fit; one message names all faults.
    """
    if target not in LAYOUTS:
        raise InvalidInputError(f"target {target!r}: choose {', '.join(LAYOUTS)}")
    wanted = None if dtype is None else dtype_name(dtype)
    found = open_source(source, options or HubOptions(), components, part)
    if components and len(found) == 1:
        found = [replace(found[0], subfolder="")]
    jobs = _plan(found, target, wanted)
    size = sum(job.size for job in jobs)
    done: dict[str, Conversion] = {}
    with new_folder(user_path(output), size) as folder, ThreadPoolExecutor(1) as reader:
        digests = {path: reader.submit(_digest, path) for job in jobs for path in job.part.files}
        try:
            for half in found:
                own = [job for job in jobs if job.half is half]
                records = {job.part.name: job.run(folder, digests, on_tensor) for job in own}
                conversion = Conversion(
                    source=half.name, target=target, dtype=wanted, components=records
                )
                _copy_others(half, folder / half.subfolder)
                text = conversion.as_json()
                (folder / half.subfolder / REPORT).write_text(text, encoding="utf-8")
                done[half.subfolder] = conversion
        finally:
            for digest in digests.values():
                digest.cancel()
    return done


def _plan(sources: Iterable[Source], target: str, dtype: str | None) -> list[_Job]:
    """Account for every tensor of every network."""
    jobs, faults = [], []
    for half in sources:
        for part in half.parts:
            try:
                expected = expected_tensors(part.class_name, part.config)
                result = audit(part.class_name, expected, part.tensors)
            except KandinskyError as error:
                faults.append(f"{part.name}: {error}")
                continue
            if result.fault:
                faults.append(f"{part.name}: {result.fault}")
            else:  # layouts have rules for the shapes of networks alone
                jobs.append(_Job(half, part, result, target, dtype))
    if faults:
        raise CheckpointError("; ".join(faults))
    return jobs


class _Job:
    """The conversion of one network."""

    def __init__(
        self, half: Source, part: Part, result: Audit, target: str, dtype: str | None
    ) -> None:
        self.half, self.part, self._audit, self._target = half, part, result, target
        modern = Relabelled.renamed(
            part.tensors, {new: old for old, new in result.used.items()}, "diffusers"
        )
        self._tensors: Tensors = with_layout(modern, target)
        self._modern = modern
        code = None if dtype is None else BY_NAME[component_dtype(part.class_name, dtype)].code
        self._specs = {}
        for name in self._tensors.names():
            shape, stored = self._tensors.spec(name)
            self._specs[name] = shape, code or stored

    @property
    def size(self) -> int:
        """Bytes to write, without the names of the tensors."""
        return sum(math.prod(shape) * STORED[dtype].size for shape, dtype in self._specs.values())

    def run(
        self,
        folder: Path,
        digests: Mapping[Path, Future[str]],
        on_tensor: Callable[[str, int], None] | None,
    ) -> Record:
        """Write the weights and the config."""
        own = inside(folder / self.half.subfolder, self.part.name)
        own.mkdir(parents=True)
        if self.part.folder is None:
            text = json.dumps(self.part.config, indent=2) + "\n"
            (own / "config.json").write_text(text, encoding="utf-8")
        dtypes = sorted({dtype for _, dtype in self._specs.values()})
        with refuse_non_finite(self.part.name, " and ".join(dtypes)) as note:

            def read(name: str) -> Array:
                values = cast(self._tensors.read(name), STORED[self._specs[name][1]].numpy)
                note(name, all_finite(values))
                if on_tensor is not None:
                    on_tensor(self.part.name, values.nbytes)
                return values

            digest, file_name = self._write(own, read)
            files = {file_name: digest}
            if self.part.null_embedding is not None:
                note(NULL_EMBEDDING, all_finite(self.part.null_embedding))
                files |= _write_null_embedding(own, self.part.null_embedding)
        return self._record(dtypes, files, digests)

    def _write(self, own: Path, read: Callable[[str], Array]) -> tuple[str, str]:
        if self._target == "mindspore":
            name = NATIVE["mindspore"]
            return write_mindspore(own / name, self._specs, read), name
        if self._target == "jax":
            name, metadata = NATIVE["jax"], {"kandinsky_layout": "jax"}
        else:
            stem = SAFE_STEMS[NETWORKS[self.part.class_name].library]
            name, metadata = f"{stem}.safetensors", {"format": "pt"}
        return write_safetensors(own / name, self._specs, read, metadata), name

    def _record(
        self, dtypes: Sequence[str], files: Mapping[str, str], digests: Mapping[Path, Future[str]]
    ) -> Record:
        part = self.part
        sources = {path.name: digests[path].result() for path in part.files}
        known = recognise(part.class_name, self._modern, unused_tensors(part.class_name))
        published = {
            digest
            for manifest in manifests()
            if known and manifest.class_name == part.class_name
            for digest in manifest.files.values()
        }
        ignored = {**part.ignored, **self._audit.ignored}
        return Record(
            class_name=part.class_name,
            files=files,
            sources=sources,
            known=known,
            published=bool(published & set(sources.values())),
            source_tensors=part.source_count,
            used=part.source_count - len(ignored),
            ignored=ignored,
            tensors=len(self._specs),
            parameters=sum(math.prod(shape) for shape, _ in self._specs.values()),
            dtypes=dtypes,
        )


def _write_null_embedding(folder: Path, values: Array) -> dict[str, str]:
    """Write the null embedding; with its one axis it is the same in every layout.

    It keeps its dtype.
    """
    specs = {NULL_EMBEDDING: (values.shape, BY_NAME[values.dtype.name].code)}
    digest = write_safetensors(
        folder / NULL_EMBEDDING_FILE, specs, lambda _: values, {"format": "pt"}
    )
    return {NULL_EMBEDDING_FILE: digest}


def _copy_others(half: Source, folder: Path) -> None:
    """Copy the files that are no weights: configs, tokenizers, schedulers, the card."""
    folder.mkdir(exist_ok=True)
    for path in half.others:
        assert half.folder is not None
        # Both are looked at now: the source may have changed since its files were listed.
        source, copy = (inside(place, path.as_posix()) for place in (half.folder, folder))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    for name, content in half.made.items():
        copy = inside(folder, name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
