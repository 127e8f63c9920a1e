"""Whole model folders: names, links and tables in them, and what `convert` writes from them."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from tools.fuzz.cases.byte_changes import changed_bytes
from tools.fuzz.cases.case import Case, Content, Difference, Fifo, Format, Link
from tools.fuzz.cases.json_changes import changed_json, odd_text
from tools.fuzz.formats.pickled import archive, pickled_state
from tools.fuzz.formats.safetensors import Tensor, encoded

__all__ = ["Conversions"]

_CLASS = "CLIPTextModelWithProjection"
_CONFIG: dict[str, Any] = {
    "architectures": [_CLASS],
    "hidden_size": 4,
    "intermediate_size": 4,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
    "projection_dim": 4,
    "vocab_size": 3,
    "max_position_embeddings": 2,
    "model_type": "clip_text_model",
}
_INDEX: dict[str, Any] = {
    "_class_name": "KandinskyV22PriorPipeline",
    "_diffusers_version": "0.39.0",
    "text_encoder": ["transformers", _CLASS],
    "scheduler": ["diffusers", "UnCLIPScheduler"],
}
_CARD = b"---\nprior:\n- owner/name\n---\n"
_SECRET = b"what lies outside of the model and may not be copied"
_OUTSIDE = ("..", "../outside", "../../outside", "text_encoder/../../outside", "scheduler/..")
_LAYOUTS = ("diffusers", "jax", "mindspore")


class Conversions(Format):
    """A folder of one small network, converted to one layout and checked against its source."""

    name: ClassVar[str] = "folders"

    def warm(self) -> None:
        """See `Format.warm`."""
        from kandinsky_converters.manifests import manifests

        manifests()
        _weights()

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        files = _files(random.choice(("one", "shards", "pickle", "report")))
        how: list[str] = []
        for _ in range(random.choice((1, 1, 2))):
            how += random.choice(_CHANGES)(random, files)
        files = {f"model/{name}": content for name, content in files.items()}
        files["outside/config.json"] = json.dumps(_CONFIG).encode()
        files["outside/secret.json"] = _SECRET
        files["outside/model.safetensors"] = _weights()[0]
        return Case(files, how, {"target": random.choice(_LAYOUTS)})

    def read(self, case: Case, folder: Path) -> None:
        """See `Format.read`: nothing may be written beside the output, whatever happens."""
        from kandinsky_converters.check import check
        from kandinsky_converters.convert import convert
        from kandinsky_core.checkpoints.checkpoint import Checkpoint

        before = _listing(folder.parent)
        output = folder / "made" / "here"
        output.parent.mkdir()
        try:
            if (folder / "model" / "model_index.json").is_file():
                for name, component in Checkpoint.open(folder / "model").components.items():
                    _require_inside(folder / "model", name, component.folder)
            convert(folder / "model", case.settings["target"], output)
            _require_own(output)
            differences = list(check(folder / "model", output))
            if differences:
                raise Difference(f"the conversion differs from its source: {differences[:2]}")
        finally:
            left = {path.name for path in output.parent.iterdir()} - {output.name}
            shutil.rmtree(output.parent)
            after = _listing(folder.parent)
            if left or before != after:
                strange = sorted(set(after.items()) ^ set(before.items()))
                _remove_strange(folder.parent, before, after)
                raise Difference(f"written outside: {sorted(left)} {strange[:2]}")


def _listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, size and time of all that lies in a folder, by path."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if path.name != "made":
            time = 0 if path.is_dir() else status.st_mtime_ns
            size = 0 if path.is_dir() else status.st_size
            found[str(path.relative_to(folder))] = (status.st_mode, size, time)
    return found


def _remove_strange(folder: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Remove what a case wrote outside, so that it does not show in the next."""
    for name in sorted(set(after) - set(before)):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _require_inside(model: Path, name: str, folder: Path) -> None:
    if not folder.resolve().is_relative_to(model.resolve()) or folder.resolve() == model.resolve():
        raise Difference(f"component {name!r} lies in {folder}, which is outside of the model")


def _require_own(output: Path) -> None:
    """Check that an output holds regular files alone, and nothing of the files outside."""
    for path in output.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Difference(f"the output holds {path.name!r}, which is no file")
        if path.is_file() and _SECRET in path.read_bytes():
            raise Difference(f"the output holds in {path.name!r} a file from outside the model")


@cache
def _weights() -> tuple[bytes, bytes, bytes, bytes]:
    """Return the network's weights: whole, as two shards, and as a pickle."""
    from kandinsky_converters.inventory.expected import expected_tensors

    tensors: dict[str, Tensor] = {}
    for number, (name, shape) in enumerate(expected_tensors(_CLASS, _CONFIG).items()):
        tensors[name] = (shape, "F32", np.full(shape, number / 64, "<f4").tobytes())
    names = list(tensors)
    first = {name: tensors[name] for name in names[:5]}
    second = {name: tensors[name] for name in names[5:]}
    safe = [_safetensors(part) for part in (tensors, first, second)]
    return safe[0], safe[1], safe[2], archive(*pickled_state(tensors))


def _safetensors(tensors: dict[str, Tensor]) -> bytes:
    header, data = encoded(tensors, {"format": "pt"})
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _files(kind: str) -> dict[str, Content]:
    """Return the files of a whole folder, with weights of one kind."""
    whole, first, second, pickled = _weights()
    files: dict[str, Content] = {
        "model_index.json": json.dumps(_INDEX).encode(),
        "README.md": _CARD,
        "scheduler/scheduler_config.json": b'{"_class_name": "UnCLIPScheduler"}',
        "text_encoder/config.json": json.dumps(_CONFIG).encode(),
    }
    if kind == "shards":
        files["text_encoder/model-00001-of-00002.safetensors"] = first
        files["text_encoder/model-00002-of-00002.safetensors"] = second
        files["text_encoder/model.safetensors.index.json"] = json.dumps(_shard_table()).encode()
    elif kind == "pickle":
        files["text_encoder/pytorch_model.bin"] = pickled
    else:
        files["text_encoder/model.safetensors"] = whole
    if kind == "report":
        del files["model_index.json"]
        files["conversion.json"] = json.dumps(_report()).encode()
    return files


def _shard_table() -> dict[str, Any]:
    return {
        "metadata": {"total_size": 1},
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
        },
    }


def _report() -> dict[str, Any]:
    return {"format": 1, "target": "diffusers", "components": {"text_encoder": {"class": _CLASS}}}


def _change_index(random: Random, files: dict[str, Content]) -> list[str]:
    """Change the index or the report: any JSON, or one with a component outside."""
    name = "model_index.json" if "model_index.json" in files else "conversion.json"
    table = dict(_INDEX if name == "model_index.json" else _report())
    if random.random() < 0.5:
        content, how = changed_json(random, table)
        files[name] = content
        return [name, *how]
    component = random.choice((*_OUTSIDE, odd_text(random)))
    holder = table if name == "model_index.json" else table["components"]
    entry = ["transformers", _CLASS] if name == "model_index.json" else {"class": _CLASS}
    if name == "conversion.json":
        table["components"] = holder = dict(holder)
    holder[component] = entry
    files[name] = json.dumps(table).encode()
    return [f"{name} names {component!r}"]


def _change_shards(random: Random, files: dict[str, Content]) -> list[str]:
    """Change the table of shards: any JSON, or a shard outside."""
    name = "text_encoder/model.safetensors.index.json"
    table = _shard_table()
    files.pop("text_encoder/model.safetensors", None)
    if random.random() < 0.4:
        files[name], how = changed_json(random, table)
        return [name, *how]
    shard = random.choice(("../../outside/model.safetensors", "/dev/zero", odd_text(random)))
    table["weight_map"] = {**table["weight_map"], "c": shard}
    if random.random() < 0.5:
        table["weight_map"] = {"c": shard}
    files[name] = json.dumps(table).encode()
    return [f"a shard is {shard!r}"]


def _change_file(random: Random, files: dict[str, Content]) -> list[str]:
    """Put a link or a pipe in place of a file, or beside it."""
    name = random.choice([*files, "scheduler/more.json", "text_encoder/extra"])
    depth = name.count("/") + 1
    outside = "../" * depth + "outside/"
    target = random.choice(
        (f"{outside}secret.json", outside, "/dev/zero", ".", "gone", name.rpartition("/")[2])
    )
    files[name] = Fifo() if random.random() < 0.3 else Link(target)
    return [f"{name} is {files[name]!r}"]


def _change_json(random: Random, files: dict[str, Content]) -> list[str]:
    name = random.choice(("text_encoder/config.json", "scheduler/scheduler_config.json"))
    table = _CONFIG if name.startswith("text") else {"_class_name": "UnCLIPScheduler"}
    files[name], how = changed_json(random, table)
    return [name, *how]


def _change_bytes(random: Random, files: dict[str, Content]) -> list[str]:
    name = random.choice(sorted(files))
    content = files[name]
    if not isinstance(content, bytes) or not content:
        return []
    files[name], how = changed_bytes(random, content)
    return [name, *how]


def _drop(random: Random, files: dict[str, Content]) -> list[str]:
    name = random.choice(sorted(files))
    del files[name]
    return [f"{name} is gone"]


_CHANGES = (
    *(_change_index, _change_index, _change_shards, _change_file, _change_file),
    *(_change_json, _change_bytes, _drop),
)
