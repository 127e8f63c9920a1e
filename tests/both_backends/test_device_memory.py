"""How much memory a device has, as the host and the frameworks tell it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kandinsky_backend_kit import host_memory
from kandinsky_core import KandinskyV22PriorPipeline, get_backend
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.errors import BackendUnavailableError, DeviceMemoryError
from kandinsky_core.seam.backend import DeviceMemory
from tests.support.backends import BACKENDS, needs

MEMINFO = "MemTotal:       24731708 kB\nMemFree:  1000 kB\nMemAvailable:   22000000 kB\n"


@pytest.fixture
def meminfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "meminfo"
    monkeypatch.setattr(host_memory, "_MEMINFO", path)
    return path


def test_the_host_as_linux_tells_it(meminfo: Path) -> None:
    meminfo.write_text(MEMINFO)
    assert host_memory.host_memory("cpu:1") == DeviceMemory(
        device="cpu:1",
        total=24731708 * 1024,
        free=22000000 * 1024,
        host=True,
        filled_by_load=False,
    )


@pytest.mark.parametrize("text", [None, "", "MemTotal: many", "MemTotal: 5 kB\n"])
def test_the_host_as_other_systems_tell_it(
    meminfo: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    if text is not None:
        meminfo.write_text(text)
    values = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000, "SC_AVPHYS_PAGES": 10}

    def sysconf(name: str) -> int:
        if name not in values:
            raise ValueError("unrecognized configuration name")
        return values[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    found = host_memory.host_memory()
    assert found is not None
    assert (found.total, found.free) == (4096000, 40960)
    del values["SC_AVPHYS_PAGES"]
    found = host_memory.host_memory()
    assert found is not None
    assert (found.total, found.free) == (4096000, None)
    monkeypatch.delattr(os, "sysconf")
    assert host_memory.host_memory() is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cpu_has_what_the_host_has(backend: str) -> None:
    expected = host_memory.host_memory()
    assert expected is not None
    for device in (None, "cpu"):
        found = get_backend(backend).memory(device)
        assert found is not None
        assert (found.device, found.total, found.host) == ("cpu", expected.total, True)
        assert found.free is not None
        assert 0 < found.free <= found.total
    with pytest.raises(BackendUnavailableError, match="'cpu:7'"):
        get_backend(backend).memory("cpu:7")


@needs("jax")
def test_an_accelerator_of_jax() -> None:
    from kandinsky_jax.placement.memory import device_memory

    def gpu(stats: Any) -> Any:
        def memory_stats() -> Any:
            if isinstance(stats, Exception):
                raise stats
            return stats

        return SimpleNamespace(platform="gpu", id=1, memory_stats=memory_stats)

    found = device_memory(gpu({"bytes_limit": 1000, "bytes_in_use": 300, "num_allocs": 1}))
    assert found == DeviceMemory(
        device="gpu:1", total=1000, free=700, host=False, filled_by_load=True
    )
    found = device_memory(gpu({"bytes_limit": 1000}))
    assert found is not None
    assert found.free is None
    for nothing in (None, {}, {"bytes_in_use": 3}, RuntimeError("UNIMPLEMENTED")):
        assert device_memory(gpu(nothing)) is None


@needs("jax")
def test_jax_reads_nothing_for_a_device_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    from kandinsky_jax.backend import JaxBackend

    def memory(self: Any, device: str | None = None) -> DeviceMemory:
        return DeviceMemory(device="gpu:0", total=1000, free=9, host=False, filled_by_load=True)

    def read(self: Any, name: str) -> Any:
        raise AssertionError("weights were read before the memory was compared")

    monkeypatch.setattr(JaxBackend, "memory", memory)
    monkeypatch.setattr(SafetensorsFiles, "read", read)
    with pytest.raises(
        DeviceMemoryError, match=r"take 12\.8 MiB at once on gpu:0, which has 1000 b"
    ):
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax")


@needs("mindspore")
def test_an_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What MindSpore 2.7 says it gives: nothing before the NPU has computed."""
    from kandinsky_mindspore.runtime import load_mindspore

    ms = load_mindspore()
    from kandinsky_mindspore.placement.memory import device_memory

    told = [(0, 0), (1000, 700)]

    def properties(number: int) -> Any:
        assert number == 3
        total, free = told.pop(0)
        return SimpleNamespace(name="Ascend", total_memory=total, free_memory=free)

    monkeypatch.setattr(ms.hal, "get_device_properties", properties)
    assert device_memory("ascend:3") == DeviceMemory(
        device="ascend:3", total=1000, free=700, host=False, filled_by_load=False
    )
    told += [(0, 0), (0, 0)]
    assert device_memory("ascend:3") is None
    monkeypatch.setattr(ms.hal, "get_device_properties", lambda number: None)
    assert device_memory("ascend:3") is None
    monkeypatch.delattr(ms.hal, "get_device_properties")
    assert device_memory("ascend:3") is None
