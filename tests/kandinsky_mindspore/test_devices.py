"""Choosing MindSpore's device: on this machine's CPU, and with a stand-in for an NPU."""

from __future__ import annotations

import pytest

pytest.importorskip("mindspore")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from kandinsky_core.errors import BackendUnavailableError, InvalidInputError  # noqa: E402
from kandinsky_mindspore.placement import devices  # noqa: E402


class FakeProcess:
    """MindSpore's bookkeeping of a process's device, on a host with two NPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, used: bool = False) -> None:
        self.current, self.used = ("Ascend", 0), used
        self.blocking, self.coarse_products = False, True
        monkeypatch.setattr(devices, "ascend_available", lambda: True)
        monkeypatch.setattr(ms, "set_device", self.set_device)
        monkeypatch.setattr(ms, "get_current_device", lambda: self.current)
        monkeypatch.setattr(ms.runtime, "launch_blocking", self.block)
        precision = ms.device_context.ascend.op_precision
        monkeypatch.setattr(precision, "conv_allow_hf32", self.allow_coarse_products)

    def set_device(self, target: str, index: int | None = None) -> None:
        if self.used and (target, index or 0) != self.current:
            raise RuntimeError("The 'mindspore.set_device' can not be modified.")
        self.current, self.used = (target, index or 0), True

    def block(self) -> None:
        self.blocking = True

    def allow_coarse_products(self, allowed: bool) -> None:
        self.coarse_products = allowed


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.DEVICE_VARIABLE, raising=False)


def test_a_cpu_is_taken_where_there_is_no_npu() -> None:
    assert not devices.ascend_available()
    assert devices.visible_devices() == ("cpu",)
    for wanted in (None, "cpu", "CPU", "cpu:0"):
        assert devices.select_device(wanted) == "cpu"
    assert ms.get_context("device_target") == "CPU"


@pytest.mark.parametrize("wanted", ["ascend", "npu:0", "Ascend:3"])
def test_an_npu_that_is_not_there(wanted: str) -> None:
    with pytest.raises(BackendUnavailableError, match="finds no Ascend NPU; install CANN"):
        devices.select_device(wanted)
    assert devices.select_device() == "cpu"


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.DEVICE_VARIABLE, "ascend:1")
    with pytest.raises(BackendUnavailableError, match="'ascend:1'"):
        devices.select_device()
    assert devices.select_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "tpu:0", "cpu:1", "ascend:x", "ascend:-1", "npu:"])
def test_names_that_mean_no_device_of_mindspore(wanted: str) -> None:
    with pytest.raises(BackendUnavailableError, match="choose cpu, ascend or ascend:N"):
        devices.select_device(wanted)


def test_an_npu_is_the_default_and_keeps_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    process = FakeProcess(monkeypatch)
    assert devices.select_device() == "ascend:0"
    assert process.used
    assert not process.blocking
    assert not process.coarse_products, "float32 is to mean float32"


@pytest.mark.parametrize(("wanted", "found"), [("npu:1", "ascend:1"), ("cpu", "cpu")])
def test_the_first_choice_of_a_process_holds(
    monkeypatch: pytest.MonkeyPatch, wanted: str, found: str
) -> None:
    process = FakeProcess(monkeypatch)
    assert devices.select_device(wanted) == found
    chosen = process.current
    assert devices.select_device() == found
    assert devices.select_device(wanted) == found
    message = f"runs on {found} in this process and cannot change to 'ascend:0'"
    with pytest.raises(BackendUnavailableError, match=message):
        devices.select_device("ascend:0")
    assert process.current == chosen
    assert process.blocking == (found == "cpu")


def test_an_npu_without_number_is_the_one_that_msrun_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    process = FakeProcess(monkeypatch, used=True)
    process.current = ("Ascend", 5)
    assert devices.select_device("ascend") == "ascend:5"
    assert devices.select_device() == "ascend:5"


def test_bfloat16_needs_an_npu() -> None:
    with pytest.raises(InvalidInputError, match="use float32"):
        devices.check_dtype("bfloat16", "cpu")
    devices.check_dtype("float16", "cpu")
    devices.check_dtype("bfloat16", "ascend:0")
