"""What `to` is asked for in PyTorch's forms, and how devices and dtypes are shown."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.devices import DeviceName
from kandinsky_core.seam.dtypes import DTypeName
from kandinsky_core.seam.network_weights import is_embedding
from kandinsky_core.seam.placement import read_placement

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ((), (None, None)),
        (("cpu",), ("cpu", None)),
        ((1,), ("gpu:1", None)),
        ((None, np.float32), (None, "float32")),
        ((torch.device("cuda:1"), torch.float16, True), ("cuda:1", "float16")),
        (("bf16", "TPU"), ("tpu", "bfloat16")),
    ],
)
def test_targets_come_in_any_order(targets: tuple[Any, ...], expected: Any) -> None:
    assert read_placement(targets, None, None, {}) == expected


@pytest.mark.parametrize(
    ("call", "match"),
    [
        ((("cdua",), None, None, {}), "neither a device"),
        (((1.5,), None, None, {}), "neither a device"),
        (((), None, torch.int8, {}), "not supported"),
        (((), None, None, {"colour": 1}), "does not take colour"),
    ],
)
def test_other_targets_are_refused(call: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        read_placement(*call)


def test_a_device_is_its_name_and_pytorchs_device() -> None:
    device = DeviceName("gpu:1")
    assert device == "gpu:1" == device
    assert device == "cuda:1" == device
    assert device == torch.device("cuda:1") == device
    assert device not in ("gpu", "gpu:0", "cpu", None, torch.device("cpu"))
    assert (device.type, device.index, f"{device}") == ("cuda", 1, "gpu:1")
    assert {"gpu:1": 2}[device] == 2
    assert pickle.loads(pickle.dumps(device)) == device
    assert torch.zeros(1).to(DeviceName("cpu")).device == DeviceName("cpu")


def test_a_dtype_is_its_name_and_every_frameworks_dtype() -> None:
    dtype = DTypeName("float16")
    assert dtype == "float16" == dtype
    assert dtype == torch.float16 == dtype
    assert dtype == np.float16
    assert dtype not in ("half", torch.float32, None, 16)
    assert {"float16": 2}[dtype] == 2


def test_embeddings_are_told_by_their_names() -> None:
    names = {
        "text_model.embeddings.token_embedding.weight": True,
        "quantize.embedding.weight": True,
        "transformer.embeddings.word_embeddings.weight": True,
        "shared.weight": True,
        "vision_model.embeddings.patch_embedding.weight": False,
        "time_embedding.linear_1.weight": False,
        "positional_embedding": False,
        "embedding_proj.weight": False,
    }
    assert {name: is_embedding(name) for name in names} == names
