"""Files of weights, damaged at random from fixed seeds, are read or refused with a clear error.

How long that takes is bounded by the budgets of `kandinsky_core.budgets`, whose own tests lie
beside. Here a file of some hundred bytes must not grow beyond them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from kandinsky_converters.writers import write_mindspore
from kandinsky_core.budgets import PICKLE_ITEMS
from kandinsky_core.checkpoints.lora import merged_weights, read_lora
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.errors import CheckpointError
from tests.support.mutations import mutated_bytes, mutated_json
from tests.support.torch_archive import pickled_state, write_archive, write_torch_file

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1.5, 2], np.float16),
    "none": np.zeros((0, 2), np.float32),
    "one": np.array(3, np.int64),
}
CODES = {"float32": "F32", "float16": "F16", "int64": "I64"}
LORA = {
    "mid.to_q.lora_A.weight": np.ones((2, 3), np.float32),
    "mid.to_q.lora_B.weight": np.ones((3, 2), np.float32),
    "mid.to_v.lora.down.weight": np.ones((2, 3), np.float32),
    "mid.to_v.lora.up.weight": np.ones((3, 2), np.float32),
    "mid.to_v.alpha": np.array(4, np.float32),
}
SETTINGS = {"unet.r": 2, "unet.lora_alpha": 4.0, "unet.rank_pattern": {}, "unet.use_rslora": False}


def read_all(file: Any) -> None:
    names = list(file.names())
    assert len(names) + len(getattr(file, "others", ())) <= PICKLE_ITEMS
    for name in names:
        shape, _ = file.spec(name)
        assert file.read(name).shape == shape


def read_or_refused(read: Callable[[int], Any], seeds: range) -> None:
    """Read a file for each seed: some are still whole, most are refused, in one line."""
    refused = whole = 0
    for seed in seeds:
        try:
            read(seed)
            whole += 1
        except CheckpointError as error:
            refused += "\n" not in str(error)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert whole + refused == len(seeds)
    assert 0 < whole < refused


def safetensors(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def parts(content: bytes) -> tuple[Any, bytes]:
    """Header and data of a safetensors file."""
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    good = save(ARRAYS, {"format": "pt", "kandinsky_layout": "jax"})
    header, data = parts(good)

    def read(seed: int) -> None:
        if seed % 2:
            path.write_bytes(safetensors(mutated_json(header, seed), data))
        else:
            path.write_bytes(mutated_bytes(good, seed))
        read_all(SafetensorsFiles([path]))

    read_or_refused(read, range(600))


def test_pickles_in_whole_archives(tmp_path: Path) -> None:
    good = pickled_state(ARRAYS)
    values = {str(index): array.tobytes() for index, array in enumerate(ARRAYS.values())}

    def read(seed: int) -> None:
        read_all(TorchFile(write_archive(tmp_path / "w.bin", mutated_bytes(good, seed), values)))

    read_or_refused(read, range(600))


def test_archives(tmp_path: Path) -> None:
    path = write_torch_file(tmp_path / "w.bin", ARRAYS)
    good = path.read_bytes()

    def read(seed: int) -> None:
        path.write_bytes(mutated_bytes(good, seed))
        read_all(TorchFile(path))

    read_or_refused(read, range(600))


def test_files_of_mindspore(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    specs = {name: (array.shape, CODES[array.dtype.name]) for name, array in ARRAYS.items()}
    write_mindspore(path, specs, ARRAYS.__getitem__)
    good = path.read_bytes()

    def read(seed: int) -> None:
        path.write_bytes(mutated_bytes(good, seed))
        read_all(MindSporeFile(path))

    read_or_refused(read, range(600))


@pytest.mark.parametrize("damaged", ["header", "settings", "bytes"])
def test_loras(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "a.safetensors"
    chosen = LORA if damaged != "settings" else {k: v for k, v in LORA.items() if "to_v" not in k}
    good = save(chosen, {"lora_adapter_metadata": json.dumps(SETTINGS)})
    header, data = parts(good)

    def read(seed: int) -> None:
        if damaged == "bytes":
            path.write_bytes(mutated_bytes(good, seed))
        elif damaged == "header":
            path.write_bytes(safetensors(mutated_json(header, seed), data))
        else:
            settings = json.dumps(mutated_json(SETTINGS, seed))
            made = header | {"__metadata__": {"lora_adapter_metadata": settings}}
            path.write_bytes(safetensors(made, data))
        found = read_lora(path)
        zeros = {
            name: np.zeros((len(adapter.up), *adapter.down.shape[1:]), np.float32)
            for name, adapter in found.items()
        }
        merged = merged_weights([(found, 1)], lambda _: zeros)
        assert all(np.isfinite(values).all() for values in merged.values())

    read_or_refused(read, range(200))
