"""What tells two processors apart, from Linux's list of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kandinsky_backend_kit import processor

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 143
cpu MHz\t\t: 2000.1
flags\t\t: fpu avx512f amx_bf16

processor\t: 1
flags\t\t: of another
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50\nFeatures\t: fp asimd sve\nCPU part\t: 0xd40\n"


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "PROCESSORS", file)
    monkeypatch.setattr("platform.node", lambda: "this machine")
    return file


def test_what_it_can_do_counts_and_not_its_speed(listed: Path) -> None:
    listed.write_text(INTEL, encoding="utf-8")
    first = processor.processor_identity()
    assert processor.processor_flags() == ["flags", ":", "fpu", "avx512f", "amx_bf16"]
    listed.write_text(INTEL.replace("2000.1", "3000"), encoding="utf-8")
    assert processor.processor_identity() == first
    listed.write_text(INTEL.replace(" amx_bf16", ""), encoding="utf-8")
    assert processor.processor_identity() != first
    listed.write_text(ARM, encoding="utf-8")
    arm = processor.processor_identity()
    assert "sve" in arm
    assert "BogoMIPS" not in arm
    assert "this machine" not in first + arm


@pytest.mark.parametrize("text", [None, "processor : 0\nmachine : a chip\n"])
def test_a_machine_that_does_not_tell_counts_as_the_only_one(
    text: str | None, listed: Path
) -> None:
    if text is not None:
        listed.write_text(text, encoding="utf-8")
    assert "this machine" in processor.processor_identity()
    assert processor.processor_flags() == []
