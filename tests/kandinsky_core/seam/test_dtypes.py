"""Dtypes by any framework's name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.dtypes import component_dtype, dtype_name, pinned_dtype


class Named:
    """A dtype object that prints as its own name, as PyTorch's and MindSpore's do."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("float32", "float32"),
        ("torch.float16", "float16"),
        ("jnp.bfloat16", "bfloat16"),
        ("fp16", "float16"),
        ("half", "float16"),
        ("bf16", "bfloat16"),
        ("FP32", "float32"),
        (np.float32, "float32"),
        (np.dtype("float16"), "float16"),
        (ml_dtypes.bfloat16, "bfloat16"),
        (np.dtype(ml_dtypes.bfloat16), "bfloat16"),
        (Named("torch.bfloat16"), "bfloat16"),
        (Named("BFloat16"), "bfloat16"),
        (Named("Float16"), "float16"),
        (SimpleNamespace(name="float32"), "float32"),
    ],
)
def test_names(given: Any, name: str) -> None:
    assert dtype_name(given) == name


@pytest.mark.parametrize("given", ["float64", np.float64, np.int32, "", "auto", None, 16, object])
def test_others_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="choose float32, bfloat16, float16"):
        dtype_name(given)


def test_dtypes_of_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")
    assert [dtype_name(dtype) for dtype in (jnp.bfloat16, jnp.float16, jnp.ones(1).dtype)] == [
        "bfloat16",
        "float16",
        "float32",
    ]


def test_movq_stays_in_float32() -> None:
    assert component_dtype("UNet2DConditionModel", "float16") == "float16"
    assert component_dtype("VQModel", "float16") == pinned_dtype("VQModel", "float16") == "float32"


def test_t5_is_never_in_float16(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert component_dtype("T5EncoderModel", "float16") == "bfloat16"
    assert "T5EncoderModel computes in bfloat16" in caplog.text
    assert component_dtype("T5EncoderModel", "float32") == "float32"
    assert component_dtype("MultilingualCLIP", "float16") == "float16"
    assert pinned_dtype("T5EncoderModel", "float16") == "float16"
