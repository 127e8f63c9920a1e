"""Finding and reading the weight files of one component."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.weight_files import find_weight_files
from kandinsky_core.errors import CheckpointError
from tests.support.damage import raw_safetensors, truncate

ml_dtypes = pytest.importorskip("ml_dtypes")

ONE = "diffusion_pytorch_model.safetensors"
INDEX = "diffusion_pytorch_model.safetensors.index.json"
SHARD = "diffusion_pytorch_model-{:05}-of-00002.safetensors"


def save(path: Path, **tensors: list[float]) -> Path:
    save_file({name: np.array(values, np.float32) for name, values in tensors.items()}, path)
    return path


def save_shards(folder: Path) -> list[Path]:
    shards = [save(folder / SHARD.format(1), a=[1]), save(folder / SHARD.format(2), b=[2, 3])]
    table = {"a": shards[0].name, "b": shards[1].name}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return shards


def one_line(caught: pytest.ExceptionInfo[CheckpointError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_half_precision_and_misaligned_data_are_read_exactly(tmp_path: Path) -> None:
    half = np.array([1.5, -2, 65504], np.float16)
    brain = np.array([[1, 2], [3, 1e30]], ml_dtypes.bfloat16)
    single = np.array([0.1, 1e-40, np.inf], np.float32)
    tensors = {"brain": ("BF16", brain), "half": ("F16", half), "single": ("F32", single)}
    tensors["count"] = ("I64", np.array([-(2**40)]))
    for offset in (0, 1, 2):  # the published 2.1 files begin their data at 2 modulo 4
        path = tmp_path / f"{offset}.safetensors"
        raw_safetensors(path, tensors, offset)
        files = SafetensorsFiles([path])
        assert set(files.names()) == set(tensors)
        for name, (dtype, array) in tensors.items():
            assert files.spec(name) == (array.shape, dtype)
            read = files.read(name)
            assert read.dtype == array.dtype
            assert read.flags.aligned
            np.testing.assert_array_equal(read, array)


def test_a_tensor_is_a_window_into_the_file_that_writing_does_not_change(tmp_path: Path) -> None:
    path = save(tmp_path / ONE, a=[1, 2, 3], b=[4])
    content = path.read_bytes()
    read = SafetensorsFiles([path]).read("a")
    assert not read.flags.owndata
    assert isinstance(base(read), np.memmap)
    read[1] = 9
    assert path.read_bytes() == content
    np.testing.assert_array_equal(read, np.array([1, 9, 3], np.float32))


def test_a_window_outlives_its_file(tmp_path: Path) -> None:
    path = save(tmp_path / ONE, a=[1, 2, 3])
    replaced = SafetensorsFiles([path]).read("a")
    save(tmp_path / "other", a=[4, 5, 6]).replace(path)
    deleted = SafetensorsFiles([path]).read("a")
    path.unlink()
    np.testing.assert_array_equal(replaced, np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(deleted, np.array([4, 5, 6], np.float32))


def base(array: Any) -> Any:
    """The array that holds the memory of a view."""
    while not isinstance(array, np.memmap):
        array = array.base
    return array


def test_scalars_empty_tensors_and_foreign_dtypes(tmp_path: Path) -> None:
    path = tmp_path / ONE
    tensors = {"one": ("F32", np.array(7, np.float32)), "none": ("F16", np.zeros((0, 3), "f2"))}
    raw_safetensors(path, tensors | {"tiny": ("F8_E4M3", np.zeros(2, np.uint8))}, 0)
    files = SafetensorsFiles([path])
    assert files.read("one") == np.float32(7)
    assert files.read("none").shape == (0, 3)
    assert files.spec("tiny") == ((2,), "F8_E4M3")
    with pytest.raises(CheckpointError, match="tensor 'tiny' is F8_E4M3; known: F64, F32"):
        files.read("tiny")


def test_shards_are_one_set_of_tensors(tmp_path: Path) -> None:
    shards = save_shards(tmp_path)
    found = find_weight_files(tmp_path, None)
    assert found == shards
    files = SafetensorsFiles(found)
    assert sorted(files.names()) == ["a", "b"]
    np.testing.assert_array_equal(files.read("b"), np.array([2, 3], np.float32))


def test_missing_shards_are_named(tmp_path: Path) -> None:
    save_shards(tmp_path)[1].unlink()
    with pytest.raises(CheckpointError) as caught:
        find_weight_files(tmp_path, None)
    assert f"lacks 1 of 2 shards named in {INDEX}: {SHARD.format(2)}" in one_line(caught)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}']
)
def test_damaged_index_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(CheckpointError) as caught:
        find_weight_files(tmp_path, None)
    assert f"{INDEX} is not a weight index" in one_line(caught)


@pytest.mark.parametrize("stem", ["diffusion_pytorch_model", "model"])
def test_variant_is_an_infix_of_file_or_shards(tmp_path: Path, stem: str) -> None:
    plain = save(tmp_path / f"{stem}.safetensors", a=[1])
    half = save(tmp_path / f"{stem}.fp16.safetensors", a=[2])
    assert find_weight_files(tmp_path, None) == [plain]
    assert find_weight_files(tmp_path, "fp16") == [half]
    half.unlink()
    with pytest.raises(CheckpointError) as caught:
        find_weight_files(tmp_path, "fp16")
    assert "variant 'fp16'" in one_line(caught)
    assert plain.name in one_line(caught)
    shard = save(tmp_path / f"{stem}.fp16-00001-of-00001.safetensors", a=[3])
    table = json.dumps({"weight_map": {"a": shard.name}})
    (tmp_path / f"{stem}.safetensors.index.fp16.json").write_text(table)
    assert find_weight_files(tmp_path, "fp16") == [shard]


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "pytorch_model.bin"])
def test_pickles_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        find_weight_files(tmp_path, None)
    assert f"only pickled weights ({name})" in one_line(caught)
    assert "save them as safetensors" in one_line(caught)


def test_pickles_beside_safetensors_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"")
    weights = save(tmp_path / ONE, a=[1])
    assert find_weight_files(tmp_path, None) == [weights]


def test_absent_weights_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        find_weight_files(tmp_path, None)
    assert f"expected {ONE} or model.safetensors" in one_line(caught)


def test_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    cut = save(tmp_path / ONE, a=[1, 2, 3])
    truncate(cut)
    for path, content in ((cut, None), (tmp_path / "page", b"<html>"), (tmp_path / "none", b"")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            SafetensorsFiles([path])
        assert str(path) in one_line(caught)
        assert "damaged or was not downloaded whole" in one_line(caught)


def test_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{name}.safetensors", shared=[1]) for name in "ab"]
    with pytest.raises(CheckpointError) as caught:
        SafetensorsFiles(files)
    assert "'shared' is in both" in one_line(caught)
