"""Kandinsky 3 on MindSpore: attention on an NPU that `tests.support.fake_npu` feigns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

load_mindspore()

from kandinsky_core.errors import InvalidInputError  # noqa: E402
from kandinsky_mindspore.components import denoise  # noqa: E402
from kandinsky_mindspore.placement import devices  # noqa: E402
from tests.support.fake_npu import (  # noqa: E402
    OUTPUT,
    UNET_OF_3,
    component,
    error,
    normal,
    replace_kernel,
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The calls of the kernel."""
    return replace_kernel(monkeypatch)


def output(unet: Any) -> Any:
    """For a prompt of all padding, whose states are zero as pipelines make them, and another."""
    mask = np.arange(5)[None] < np.array([[0], [3]])
    conditioning = {
        "text_encoder_hidden_states": normal(2, 5, 8) * mask[..., None],
        "attention_mask": mask,
    }
    run = unet.begin(normal(2, 4, 4, 6), conditioning, 1.0)
    run.step(500, OUTPUT, None)
    return run.read()


def unet(monkeypatch: pytest.MonkeyPatch, *, npu: bool, dtype: str) -> Any:
    return component(monkeypatch, denoise.MindSporeKandinsky3UNet, UNET_OF_3, npu=npu, dtype=dtype)


def test_attention_reaches_the_kernel_with_the_mask_it_takes(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = output(unet(monkeypatch, npu=False, dtype="float32"))
    assert calls == []
    given = output(unet(monkeypatch, npu=True, dtype="float16"))
    assert np.isfinite(given).all()
    assert error(given, expected) < 1e-2
    pooling = [call for call in calls if call.query[2] == 1]
    assert [call.mask for call in pooling] == [(2, 1, 1, 5)]
    texts = [call for call in calls if call.key[2] == 5 and call not in pooling]
    pixels = [call for call in calls if call.mask is None]
    # Two levels up and one down, each with one attention of pixels and two to the text.
    assert (len(texts), len(pixels)) == (6, 3)
    assert {call.mask for call in texts} == {(2, 1, call.query[2], 5) for call in texts}
    assert all(call.query == call.key for call in pixels)


def test_float32_never_reaches_the_kernel(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = output(unet(monkeypatch, npu=False, dtype="float32"))
    given = output(unet(monkeypatch, npu=True, dtype="float32"))
    assert calls == []
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize(
    ("asked", "device", "chosen"),
    [
        ("float16", "cpu", "float32"),
        ("float32", "cpu", "float32"),
        ("float16", "ascend:0", "bfloat16"),
        ("bfloat16", "ascend:0", "bfloat16"),
    ],
)
def test_dtype_of_t5(asked: str, device: str, chosen: str) -> None:
    assert devices.network_dtype("T5EncoderModel", asked, device) == chosen


def test_other_dtypes_stay_as_asked() -> None:
    assert devices.network_dtype("Kandinsky3UNet", "float16", "cpu") == "float16"
    with pytest.raises(InvalidInputError, match="does not run on MindSpore's CPU"):
        devices.network_dtype("T5EncoderModel", "bfloat16", "cpu")
