"""Files of weights that ask for more than weights need, and files whose parts have wrong types."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import budgets
from kandinsky_core.checkpoints import mindspore_files, safetensors_files, torch_files
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile, encode_header
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.checkpoints.torch_pickle import read_pickle
from kandinsky_core.errors import CheckpointError
from tests.support.torch_archive import pickled_state, write_archive, write_torch_file

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
# The largest int that Python's hash leaves as it is; its multiples all have the hash 0.
MODULUS = (1 << 61) - 1


def text(name: str) -> bytes:
    return b"X" + struct.pack("<I", len(name)) + name.encode()


def dict_of(*pairs: bytes) -> bytes:
    return b"\x80\x02}(" + b"".join(pairs) + b"u."


def long_keys(count: int) -> bytes:
    numbers = ((MODULUS * i).to_bytes(12, "little") for i in range(1, count))
    return dict_of(*(b"\x8a\x0c" + number + b"K\x01" for number in numbers))


def shared(depth: int, inner: Any) -> bytes:
    """Lists of 1,000 times the same list."""
    for _ in range(depth):
        inner = [inner] * 1000
    return pickle.dumps(inner, 2)


def refused(opened: Callable[[], Any]) -> str:
    with pytest.raises(CheckpointError) as caught:
        opened()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        pytest.param(shared(3, 1), "more than 131,072 entries", id="shared lists"),
        pytest.param(shared(3, []), "more than 131,072 entries", id="shared empty lists"),
        pytest.param(b"\x80\x02(" + b"]" * 1_000_000 + b"t.", "400,000 instr", id="small objects"),
        pytest.param(b"\x80\x02]" + b"q\x01" * 500_000 + b".", "400,000 instr", id="memo"),
        pytest.param(b"\x80\x04]" + b"\x94" * 500_000 + b".", "400,000 instr", id="memoize"),
        pytest.param(b"\x80\x02" + b"]" * 9999 + b"a" * 9998 + b".", "too deeply", id="deep lists"),
        pytest.param(b"\x80\x02)" + b"\x85" * 99_999 + b".", "too deeply", id="deep tuples"),
        pytest.param(long_keys(30_000), "no count", id="keys of one hash"),
        pytest.param(b"\x80\x02\x8b" + b"\xff\xff\xff\x7f.", "uses LONG4", id="long number"),
        pytest.param(dict_of(text("a" * 1025), b"K\x01"), "a name of 1,025", id="long name"),
        pytest.param(
            dict_of(text("a" * 600), b"}" + text("b" * 600) + b"K\x01s"), "a name of 1,2", id="path"
        ),
        pytest.param(dict_of(b"X\x03\0\0\0\xed\xa0\x80K\x01"), "damaged", id="half a surrogate"),
        pytest.param(dict_of(text("a"), b"K\x01", text("a"), b"K\x02"), "'a'", id="name twice"),
        pytest.param(dict_of(text("1"), b"K\x01", b"K\x01", b"K\x02"), "'1'", id="1 and '1'"),
        pytest.param(
            dict_of(text("a.b"), b"K\x01", text("a"), b"}" + text("b") + b"K\x02s"),
            "two entries named 'a.b'",
            id="dots",
        ),
        pytest.param(
            pickle.dumps({"a": [1], "a.0": 2}, 2), "two entries named 'a.0'", id="dots of a list"
        ),
    ],
)
def test_pickles_beyond_what_weights_need(tmp_path: Path, pickled: bytes, said: str) -> None:
    path = write_archive(tmp_path / "w.bin", pickled, {})
    assert said in refused(lambda: TorchFile(path))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((0, 1 << 61), "values"),
        ((1 << 40, 2), "values"),
        ((1,) * 9, "9 axes"),
        ((True,), "something else than counts"),
        ((1.0,), "something else than counts"),
        ((-1,), "something else than counts"),
        ("1", "no list"),
    ],
)
def test_shapes_of_a_pickle(shape: Any, said: str) -> None:
    known = pickled_state({"a": np.ones(1, np.float32)})
    head, tail = known.split(b"(K\x01t(K\x01t")  # shape and strides
    strides = (1,) * len(shape)
    made = head + pickle.dumps(shape, 2)[2:-1] + pickle.dumps(strides, 2)[2:-1] + tail
    assert said in refused(lambda: read_pickle(made))


def test_nothing_of_an_unknown_instruction_is_read() -> None:
    """A text of protocol 0 would be decoded, with warnings of Python's."""
    assert "uses STRING" in refused(lambda: read_pickle(b"S'\\q'\n."))


def safetensors(path: Path, header: Any, data: bytes = b"\0" * 4) -> Callable[[], Any]:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return lambda: SafetensorsFiles([path])


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_metadata_of_safetensors_may_be_null(tmp_path: Path, metadata: Any) -> None:
    opened = safetensors(tmp_path / "w", {"__metadata__": metadata, "a": ONE})()
    assert opened.metadata == (metadata or {})
    assert opened.layout == "diffusers"
    assert opened.read("a") == [0]


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"__metadata__": {"a": 1}, "a": ONE}, 4),
        ({"__metadata__": [], "a": ONE}, 4),
        ({"__metadata__": "text", "a": ONE}, 4),
        ({"a": ONE | {"shape": [0, 1 << 61], "data_offsets": [0, 0]}}, 0),
        ({"a": ONE | {"shape": [0, 1 << 70], "data_offsets": [0, 0]}}, 0),
        ({"a": ONE | {"shape": [1] * 9}}, 4),
        ({"a": ONE | {"shape": [1.0]}}, 4),
        ({"a": ONE | {"shape": [True]}}, 4),
        ({"a": ONE | {"shape": [-1]}}, 4),
        ({"a": ONE | {"shape": None}}, 4),
        ({"a": ONE | {"dtype": None}}, 4),
        ({"a": ONE | {"dtype": "F33"}}, 4),
        ({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4),
        ({"a": ONE | {"data_offsets": [0, 4, 4]}}, 4),
        ({"a": ONE | {"data_offsets": [4, 0]}}, 4),
        ({"a": ONE | {"data_offsets": [0.0, 4]}}, 4),
        ({"a": ONE, "b": ONE}, 4),
        ({"a" * 1025: ONE}, 4),
        ({"a": None}, 4),
        ("text", 4),
        (None, 4),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, 4),
        (b'{"__metadata__":{"a":"' + b"1" * budgets.SAFETENSORS_HEADER_BYTES + b'"}}', 0),
    ],
)
def test_headers_with_wrong_types_or_sizes(tmp_path: Path, header: Any, data: int) -> None:
    said = refused(safetensors(tmp_path / "w", header, b"\0" * data))
    assert "cannot be read as safetensors" in said


def test_a_safetensors_file_has_a_budget_of_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors_files, "TENSORS", 1)
    entries = {name: ONE | {"data_offsets": [at, at + 4]} for name, at in (("a", 0), ("b", 4))}
    assert "2 tensors; allowed are 1" in refused(safetensors(tmp_path / "w", entries, b"\0" * 8))


def test_unknown_and_mixed_layouts_are_named(tmp_path: Path) -> None:
    known = {"__metadata__": {"kandinsky_layout": "jax"}, "a": ONE}
    assert safetensors(tmp_path / "w", known)().layout == "jax"
    unknown = {"__metadata__": {"kandinsky_layout": "tensorflow"}, "a": ONE}
    said = refused(safetensors(tmp_path / "w", unknown))
    assert "layout 'tensorflow'; known in safetensors: diffusers, jax" in said
    safetensors(tmp_path / "1", known)
    safetensors(tmp_path / "2", {"b": ONE})
    said = refused(lambda: SafetensorsFiles([tmp_path / "1", tmp_path / "2"]))
    assert "are not in one layout" in said


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + mindspore_files._encode(len(content)) + content


def value(tensor: bytes, name: bytes = b"a") -> bytes:
    return field(1, field(1, name) + field(2, tensor))


FLOAT, CONTENT = field(2, b"Float32"), field(3, b"\0" * 4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (value(b"\x08\x01" * 2_000_000 + FLOAT + CONTENT), "more than 8 axes"),
        (value(b"\x08\x00\x08" + b"\xff" * 8 + b"\x7f" + FLOAT + field(3, b"")), "values"),
        (value(b"\x08\x01\x20\x00" + FLOAT + CONTENT), "something else than tensors"),
        (value(field(1, b"\x01") + FLOAT + CONTENT), "something else than tensors"),
        (value(b"\x08\x01" + FLOAT + FLOAT + CONTENT), "a field twice"),
        (value(b"\x08\x01" + FLOAT + CONTENT + CONTENT), "a field twice"),
        (value(b"\x08\x01" + CONTENT), "a field is missing"),
        (value(b"\x08\x01" + FLOAT), "a field is missing"),
        (value(b"\x08\x01" + b"\x10\x01" + CONTENT), "something else than tensors"),
        (value(b"\x08\x01" + field(2, b"F" * 5000) + CONTENT), "a text of 5,000 bytes"),
        (value(b"\x08\x01" + FLOAT + CONTENT, b"a" * 1025), "a name of 1,025 characters"),
        (value(b"\x08\x01" + FLOAT + CONTENT, b"\xff"), "utf-8"),
    ],
)
def test_a_ckpt_with_wrong_fields_or_sizes(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "w.ckpt"
    path.write_bytes(content)
    message = refused(lambda: MindSporeFile(path))
    assert "cannot be read as MindSpore's" in message
    assert said in message


def test_a_ckpt_has_a_budget_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindspore_files, "TENSORS", 2)
    path = tmp_path / "w.ckpt"
    for count in (2, 3):
        path.write_bytes(
            b"".join(encode_header(str(i), (1,), "Int8", 1) + b"\1" for i in range(count))
        )
        if count == 2:
            assert MindSporeFile(path).read("1") == [1]
    assert "more than 2 values" in refused(lambda: MindSporeFile(path))


def test_a_torch_file_has_a_budget_of_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_files, "TENSORS", 1)
    path = write_torch_file(tmp_path / "w.bin", {name: np.ones(1, np.float32) for name in "ab"})
    assert "2 tensors; allowed are 1" in refused(lambda: TorchFile(path))
