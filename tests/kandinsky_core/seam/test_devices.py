"""Devices by name, as users of any framework give them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kandinsky_core.seam.devices import device_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cpu", "cpu"),
        ("CUDA:1", "cuda:1"),
        ("Ascend", "ascend"),
        ("cdua", None),
        ("float16", None),
        (SimpleNamespace(type="cuda", index=None), "cuda"),  # torch.device("cuda")
        (SimpleNamespace(type="cuda", index=1), "cuda:1"),
        (SimpleNamespace(platform="tpu", id=3, device_kind="TPU v5"), "tpu:3"),  # jax.devices()[3]
        (SimpleNamespace(platform="cpu", id=0), "cpu"),
        (SimpleNamespace(type="float", index=0), None),
        (None, None),
        (16, None),
    ],
)
def test_device_name(given: Any, expected: str | None) -> None:
    assert device_name(given) == expected
