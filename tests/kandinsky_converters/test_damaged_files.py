"""Damaged weight files end in a clear error: never in a crash, a hang or a silent load."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kandinsky_converters.convert import convert
from kandinsky_converters.writers import write_mindspore, write_safetensors
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile, encode_header
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.errors import CheckpointError, KandinskyError
from tests.support.damage import edit_json, edit_tensors, truncate

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1.5, 2], np.float16),
    "c": np.zeros((0, 2), np.float32),
}
SPECS = {
    name: (array.shape, {"float32": "F32", "float16": "F16"}[array.dtype.name])
    for name, array in ARRAYS.items()
}
UNET = "decoder/unet/diffusion_pytorch_model.safetensors"


def safetensors(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """Any header, any length of it, any data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda p: safetensors(p, b"{", b""), id="truncated header"),
        pytest.param(lambda p: safetensors(p, {}, length=1 << 62), id="huge header"),
        pytest.param(lambda p: safetensors(p, {}, length=99), id="header beyond the file"),
        pytest.param(lambda p: safetensors(p, b"[]", b""), id="list"),
        pytest.param(lambda p: safetensors(p, b'{"a":3}', b""), id="no entry"),
        pytest.param(lambda p: safetensors(p, b"\xff\xfe", b""), id="no text"),
        pytest.param(lambda p: safetensors(p, b"[" * 100_000, b""), id="deep"),
        pytest.param(lambda p: safetensors(p, {"a": entry(0, 4, [1])}, b"\0" * 3), id="short data"),
        pytest.param(lambda p: safetensors(p, {"a": entry(0, 4, [1])}, b"\0" * 9), id="long data"),
        pytest.param(
            lambda p: safetensors(p, {"a": entry(0, 4, [2])}, b"\0" * 4), id="shape and size"
        ),
        pytest.param(
            lambda p: safetensors(p, {"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, b"\0" * 12),
            id="overlap",
        ),
        pytest.param(
            lambda p: safetensors(p, {"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, b"\0" * 12),
            id="gap",
        ),
        pytest.param(lambda p: safetensors(p, {"a": entry(4, 0, [1])}, b"\0" * 4), id="backwards"),
        pytest.param(
            lambda p: safetensors(p, {"a": entry(0, 4, [1 << 40, 1 << 40])}, b"\0" * 4),
            id="overflow",
        ),
        pytest.param(lambda p: safetensors(p, {"a": entry(-4, 0, [1])}, b"\0" * 4), id="negative"),
        pytest.param(
            lambda p: safetensors(
                p,
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
                b"\0" * 8,
            ),
            id="duplicate",
        ),
        pytest.param(
            lambda p: safetensors(
                p,
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
                b"\0" * 4,
            ),
            id="same twice",
        ),
    ],
)
def test_each_damage_of_safetensors_is_refused(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors") as caught:
        SafetensorsFiles([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _file(path: Path, kind: str) -> Path:
    if kind == "ckpt":
        write_mindspore(path, SPECS, ARRAYS.__getitem__)
    else:
        write_safetensors(path, SPECS, ARRAYS.__getitem__, {"format": "pt"})
    return path


def _read(path: Path, kind: str) -> None:
    file: Any = MindSporeFile(path) if kind == "ckpt" else SafetensorsFiles([path])
    for name in file.names():
        shape, _ = file.spec(name)
        assert file.read(name).shape == shape


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["ckpt", "safetensors"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), min_size=1, max_size=3),
    cut=st.none() | st.floats(0, 1),
)
def test_bytes_changed_at_random(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    changes: list[tuple[float, bytes]],
    cut: float | None,
) -> None:
    """The file is read, with whatever names and values it now has, or refused by name."""
    path = _file(tmp_path_factory.mktemp("fuzz") / f"w.{kind}", kind)
    content = bytearray(path.read_bytes())
    # Most of a safetensors file is header; of either, damage near the front is the worst.
    for place, new in changes:
        index = int(place**2 * (len(content) - 1))
        content[index : index + len(new)] = new
    if cut is not None:
        del content[int(cut * len(content)) :]
    path.write_bytes(content)
    with suppress(CheckpointError):
        _read(path, kind)


@pytest.mark.parametrize("kind", ["ckpt", "safetensors"])
def test_every_truncation_is_refused(tmp_path: Path, kind: str) -> None:
    path = _file(tmp_path / f"w.{kind}", kind)
    content = path.read_bytes()
    wholes = 0
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            _read(path, kind)
        except CheckpointError:
            continue
        wholes += 1
    # A .ckpt is a row of values: cut between two, what is left is one too, and accounting,
    # which knows how many there must be, refuses it.
    assert wholes == (len(ARRAYS) - 1 if kind == "ckpt" else 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\x0b", "wire type"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "too large"),
        (b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "no end"),
        (b"\x0a\x7f\x00", "cut short"),
        (b"\x12\x00", "something else than values"),
        (b"\x0a\x00", "something else than tensors"),
        (encode_header("a", (2,), "Float32", 4) + b"\0" * 4, "more or fewer values"),
        (encode_header("a", (1,), "Float33", 4) + b"\0" * 4, "'Float33'"),
        (
            encode_header("a", (1,), "Float32", 4)
            + b"\0" * 4
            + encode_header("a", (1, 1), "Float32", 4)
            + b"\0" * 4,
            "comes twice",
        ),
        (
            (encode_header("a", (1,), "Float32", 4) + b"\0" * 4) * 2,
            "more or fewer values",
        ),
    ],
)
def test_each_damage_of_a_ckpt_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "w.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as MindSpore's") as caught:
        MindSporeFile(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("target", ["diffusers", "jax", "mindspore"])
def test_all_faults_of_all_components_are_in_one_error(
    model: Path, tmp_path: Path, target: str
) -> None:
    edit_tensors(model / UNET, drop=("conv_in.bias",), stray=np.zeros(3, np.float32))
    movq = model / "decoder/movq/diffusion_pytorch_model.safetensors"
    edit_tensors(movq, **{"quant_conv.bias": np.zeros(9, np.float32)})
    edit_json(model / "prior/prior/config.json", num_layers="many")
    with pytest.raises(CheckpointError) as caught:
        convert(model, target, tmp_path / "out")
    said = str(caught.value)
    assert "unet: UNet2DConditionModel" in said
    assert "1 missing (conv_in.bias), 1 unexpected (stray)" in said
    assert "movq: VQModel" in said
    assert "quant_conv.bias [9] for [4]" in said
    assert "prior: PriorTransformer: config field num_layers is 'many'" in said
    assert list(tmp_path.glob("*out*")) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_named(model: Path, tmp_path: Path, value: float) -> None:
    bad = np.zeros(8, np.float16)
    bad[5] = value
    edit_tensors(model / UNET, **{"conv_out.bias": bad})
    with pytest.raises(CheckpointError, match=r"unet: NaN or infinity in F16 .*\(conv_out.bias\)"):
        convert(model, "jax", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_values_too_large_for_the_dtype_are_named(model: Path, tmp_path: Path) -> None:
    edit_tensors(model / UNET, **{"conv_out.bias": np.full(8, 1e5, np.float32)})
    with pytest.raises(CheckpointError, match=r"in F16 in 1 of its tensors \(conv_out.bias\)"):
        convert(model, "jax", tmp_path / "out", dtype="float16")
    convert(model, "jax", tmp_path / "out", dtype="bfloat16")


@pytest.mark.parametrize("backend", ["jax", "mindspore"])
def test_loading_refuses_nan_too(model: Path, backend: str) -> None:
    pytest.importorskip(backend)
    from kandinsky_core import KandinskyV22Pipeline

    edit_tensors(model / UNET, **{"conv_out.bias": np.full(8, np.nan, np.float16)})
    with pytest.raises(CheckpointError, match=r"NaN or infinity in float32 .*\(conv_out.bias\)"):
        KandinskyV22Pipeline.from_pretrained(model, backend=backend)


def test_a_damaged_file_leaves_no_output(model: Path, tmp_path: Path) -> None:
    truncate(model / UNET)
    with pytest.raises(KandinskyError, match="cannot be read as safetensors"):
        convert(model, "jax", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_the_embedded_model_is_whole() -> None:
    """What these tests damage is without fault to begin with."""
    _read(EMBEDDED["shapes"] / UNET, "safetensors")
