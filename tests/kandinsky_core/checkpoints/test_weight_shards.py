"""How weights are divided among files, against the library that PyTorch's side uses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import split_state_dict_into_shards_factory

from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.weight_files import find_weight_files
from kandinsky_core.checkpoints.weight_shards import checked_variant, shard_size, write_shards
from kandinsky_core.errors import InvalidInputError

STEM = "diffusion_pytorch_model"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_the_files_are_those_of_the_reference(
    tmp_path: Path, seed: int, variant: str | None
) -> None:
    draw = np.random.default_rng(seed)
    arrays = {f"layer.{i}.weight": draw.random(draw.integers(1, 60), np.float32) for i in range(30)}
    infix = f".{variant}" if variant else ""
    reference = split_state_dict_into_shards_factory(
        arrays,
        get_storage_size=lambda array: array.nbytes,
        filename_pattern=f"{STEM}{infix}{{suffix}}.safetensors",
        max_shard_size=400,
    )
    specs = {name: (array.shape, "F32") for name, array in arrays.items()}
    write_shards(tmp_path, STEM, specs, lambda _: arrays.__getitem__, variant=variant, largest=400)
    index = json.loads((tmp_path / f"{STEM}.safetensors.index{infix}.json").read_text())
    assert index["weight_map"] == reference.tensor_to_filename
    assert index["metadata"]["total_size"] == reference.metadata["total_size"]
    files = SafetensorsFiles(find_weight_files(tmp_path, variant))
    assert all(np.array_equal(files.read(name), array) for name, array in arrays.items())


def test_what_fits_is_one_file_without_an_index(tmp_path: Path) -> None:
    array = np.arange(4, dtype=np.float32)

    def read(order: list[str]) -> dict[str, Array]:
        assert order == ["x"]
        return {"x": array}

    write_shards(
        tmp_path,
        "model",
        {"x": ((4,), "F32")},
        lambda order: read(order).__getitem__,
        variant=None,
        largest=16,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("value", "size"),
    [(None, 10**10), (7, 7), ("5GB", 5 * 10**9), ("200 mb", 2 * 10**8), ("1.5KB", 1500), ("9B", 9)],
)
def test_sizes(value: int | str | None, size: int) -> None:
    assert shard_size(value) == size


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "5", "GB", "5GiB", "0GB", "٣GB"])
def test_wrong_sizes_are_refused(value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"max_shard_size=.*'5GB'"):
        shard_size(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", ["", "../x", "a/b", "a.b", 3, "x" * 41])
def test_wrong_variants_are_refused(variant: object) -> None:
    with pytest.raises(InvalidInputError, match="variant="):
        checked_variant(variant)
