"""The table of dtypes says what the frameworks themselves say."""

from __future__ import annotations

import pytest

from kandinsky_core.seam.dtypes import DTYPES
from kandinsky_core.seam.stored_dtypes import BY_NAME, STORED


def test_every_name_stands_for_one_dtype() -> None:
    for names in (
        [entry.name for entry in STORED.values()],
        [entry.mindspore for entry in STORED.values()],
        [entry.torch for entry in STORED.values()],
    ):
        assert len(set(names)) == len(STORED) == len(names)


def test_what_a_network_computes_in_can_be_stored() -> None:
    assert {BY_NAME[name].code for name in DTYPES} == {"F32", "BF16", "F16"}
    assert all(BY_NAME[name].floating for name in DTYPES)


def test_sizes() -> None:
    assert {code: entry.size for code, entry in STORED.items()} == {
        **dict.fromkeys(("F64", "I64"), 8),
        **dict.fromkeys(("F32", "I32"), 4),
        **dict.fromkeys(("F16", "BF16", "I16"), 2),
        **dict.fromkeys(("I8", "U8", "BOOL"), 1),
    }


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("code", STORED)
def test_storages_of_torch(code: str) -> None:
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, STORED[code].torch).dtype
    assert (str(dtype), dtype.itemsize) == (f"torch.{STORED[code].name}", STORED[code].size)


@pytest.mark.parametrize("code", STORED)
def test_names_of_mindspore(code: str) -> None:
    pytest.importorskip("mindspore")
    from kandinsky_mindspore.runtime import load_mindspore

    ms = load_mindspore()
    name = STORED[code].name
    assert str(getattr(ms, "bool_" if name == "bool" else name)) == STORED[code].mindspore
