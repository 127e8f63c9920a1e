"""Files of PyTorch: read exactly, and whatever else a pickle may ask for does not happen."""

from __future__ import annotations

import builtins
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kandinsky_core.checkpoints.torch_files import TorchFile
from kandinsky_core.checkpoints.torch_pickle import StridedTensor, read_pickle
from kandinsky_core.errors import CheckpointError
from tests.support.torch_archive import pickled_state, write_archive, write_torch_file

ARRAYS: dict[str, Any] = {
    "layer.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "half": np.array([1.5, -2, 65504], np.float16),
    "brain": np.array([[1, 2], [3, 1e30]], ml_dtypes.bfloat16),
    "count": np.array([-(2**40), 7]),
    "scalar": np.array(2.5, np.float32),
    "none": np.zeros((0, 3), np.float32),
}
STATE = pickled_state(ARRAYS)


class Attack:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Stateful:
    """Does its mischief when its attributes are set."""

    def __init__(self, victim: str) -> None:
        self.victim = victim

    def __setstate__(self, state: dict[str, str]) -> None:
        os.mkdir(state["victim"])  # noqa: PTH102


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        TorchFile(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_are_exact(tmp_path: Path) -> None:
    file = TorchFile(write_torch_file(tmp_path / "w.bin", ARRAYS))
    assert list(file.names()) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert file.spec(name)[0] == array.shape
        read = file.read(name)
        assert read.dtype == array.dtype
        assert read.tobytes() == array.tobytes()
    assert [file.spec(name)[1] for name in ARRAYS] == ["F32", "F16", "BF16", "I64", "F32", "F32"]


ATTACKS: dict[str, Callable[[str], Any]] = {
    "system": lambda victim: Attack(os.system, f"touch {victim}"),
    "eval": lambda victim: Attack(builtins.eval, f"open({victim!r}, 'w')"),
    "exec": lambda victim: Attack(builtins.exec, f"open({victim!r}, 'w')"),
    "open": lambda victim: Attack(builtins.open, victim, "w"),
    "getattr": lambda victim: Attack(builtins.getattr, victim, "upper"),
    "nested": lambda victim: {"layer": [Attack(print, Attack(os.mkdir, victim))]},
    "in allowed": lambda victim: Attack(OrderedDict, [("a", Attack(os.mkdir, victim))]),
    "loads": lambda victim: Attack(pickle.loads, pickle.dumps(Attack(os.mkdir, victim))),
    "class": lambda victim: Attack(tempfile.TemporaryDirectory, None, victim),
    "state": lambda victim: Stateful(victim),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_runs(tmp_path: Path, attack: str, protocol: int) -> None:
    victim = tmp_path / "victim"
    pickled = pickle.dumps(ATTACKS[attack](str(victim)), protocol)
    assert "its pickle" in refused(write_archive(tmp_path / "w.bin", pickled, {}))
    assert not victim.exists()


def test_an_attack_would_work_on_pickle_itself(tmp_path: Path) -> None:
    """The attack of these tests is one."""
    victim = tmp_path / "victim"
    pickled = pickle.dumps(Attack(os.system, f"touch {victim}"))
    pickle.loads(pickled)
    assert victim.exists()
    victim.unlink()
    refused(write_archive(tmp_path / "w.bin", pickled, {}))
    assert not victim.exists()


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        # attributes of what is allowed: BUILD, which calls __setstate__ in Python
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00ak\x00sb.", "its pickle"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "gives attributes"),
        (b"\x80\x02ccollections\nOrderedDict\n)R(K\x01K\x02tb.", "gives attributes"),
        # classes made by other instructions than calls
        (b"\x80\x02(icollections\nOrderedDict\n.", "uses INST"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "uses NEWOBJ"),
        (b"\x80\x02(ccollections\nOrderedDict\no.", "uses OBJ"),
        (b"\x80\x02\x82\x01.", "uses EXT1"),
        (b"\x80\x02P1\n.", "uses PERSID"),
        # a call of what is no name, and of a name that is no function here
        (b"\x80\x02}).", "its pickle"),
        (b"\x80\x02})R.", "its pickle is damaged"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "its pickle is damaged"),
        (b"\x80\x02h\x05.", "its pickle is damaged"),
        # lengths far beyond the end
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "its pickle is damaged"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "its pickle is damaged"),
        (b"\x80\x02\x8a\xff.", "its pickle is damaged"),
        # no end, nothing, and no pickle
        (b"\x80\x02}", "its pickle"),
        (b"", "its pickle"),
        (b"\xff\xff", "its pickle is damaged"),
        (b"\x80\x02.", "its pickle is damaged"),
        (b"\x80\x02(.", "its pickle is damaged"),
        (b"\x80\x02]K\x01a(K\x02l.", "uses LIST"),
        (b"\x80\x02]h\x00a.", "its pickle is damaged"),
    ],
)
def test_odd_programs_are_refused(tmp_path: Path, pickled: bytes, said: str) -> None:
    assert said in refused(write_archive(tmp_path / "w.bin", pickled, {}))


def test_a_huge_memo_costs_nothing() -> None:
    """Python's own machine takes 16 GB for a memo with the one entry 2**31 - 1."""
    assert read_pickle(b"\x80\x02]r\xff\xff\xff\x7f.") == []


def test_a_list_within_itself_is_refused(tmp_path: Path) -> None:
    looped: list[Any] = []
    looped.append(looped)
    assert "nested too deeply" in refused(
        write_archive(tmp_path / "w.bin", pickle.dumps(looped), {})
    )


def test_ten_million_small_objects_are_refused_at_once(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "w.bin", b"\x80\x02(" + b"]" * 10_000_000 + b"t.", {})
    assert "a member of 10,000,005 bytes; allowed are 4,194,304" in refused(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": (4,)}, "reaches beyond"),
        ({"offset": 1}, "reaches beyond"),
        ({"strides": (2,)}, "reaches beyond"),
        ({"shape": (2, 3), "strides": (1, 1)}, "reaches beyond"),
    ],
)
def test_a_tensor_stays_within_its_values(
    tmp_path: Path, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading outside the storage would show other tensors, or memory."""
    from kandinsky_core.checkpoints import torch_files

    path = write_torch_file(tmp_path / "w.bin", {"a": np.ones(3, np.float32)})
    tree = read_pickle(pickled_state({"a": np.ones(3, np.float32)}))
    good = {"offset": 0, "shape": (3,), "strides": (1,)} | change
    bad = {"a": StridedTensor(tree["a"].storage, **good)}
    monkeypatch.setattr(torch_files, "read_pickle", lambda _: bad)
    assert said in refused(path)


def test_missing_and_short_storages_are_named(tmp_path: Path) -> None:
    pickled = pickled_state({"a": np.ones(3, np.float32)})
    for values in ({}, {"0": b"\0" * 11}, {"0": b"\0" * 16}):
        said = refused(write_archive(tmp_path / "w.bin", pickled, values))
        assert "values of tensor 'a' are missing or cut short" in said


def test_other_archives_and_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "none of weights" in refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10_000)
    assert "is compressed" in refused(path)
    path.write_bytes(b"<html>not found</html>")
    assert "damaged, not whole, or no file of PyTorch" in refused(path)
    path.write_bytes(pickle.dumps(119547037146038801333356, 2))
    assert "before PyTorch 1.6" in refused(path)
    write_archive(path, STATE, {})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/byteorder", "big")
    refused(path)


def test_whatever_else_is_in_the_file_is_listed(tmp_path: Path) -> None:
    state = pickle.dumps({"epoch": 3, "names": ["a", None], "rate": 0.5, "old": True}, 2)
    file = TorchFile(write_archive(tmp_path / "w.bin", state, {}))
    assert list(file.names()) == []
    assert file.others == ["epoch", "names.0", "names.1", "rate", "old"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_pickles_never_do_anything_but_fail(data: st.DataObject) -> None:
    """Bytes changed, dropped or put in at random: data or an error, quickly."""
    pickled = bytearray(STATE)
    for _ in range(data.draw(st.integers(1, 4))):
        if not pickled:
            break
        place = data.draw(st.integers(0, len(pickled) - 1))
        kind = data.draw(st.sampled_from(["change", "drop", "insert", "cut"]))
        if kind == "change":
            pickled[place] = data.draw(st.integers(0, 255))
        elif kind == "drop":
            del pickled[place]
        elif kind == "insert":
            pickled[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            del pickled[place + 1 :]
    with suppress(CheckpointError):
        read_pickle(bytes(pickled))


@settings(max_examples=100, deadline=None)
@given(place=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_archives_are_refused_or_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, place: float, value: int, cut: bool
) -> None:
    path = write_torch_file(tmp_path_factory.mktemp("fuzz") / "w.bin", ARRAYS)
    content = bytearray(path.read_bytes())
    index = int(place * (len(content) - 1))
    content[index] = value
    path.write_bytes(content[:index] if cut else content)
    with suppress(CheckpointError):
        file = TorchFile(path)
        for name in file.names():
            file.read(name)
