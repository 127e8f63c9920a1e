"""`kandinsky verify` against PyTorch diffusers, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kandinsky_cli.main import main
from kandinsky_core.seam import registry
from kandinsky_core.seam.backend import BackendReport
from kandinsky_core.seam.networks import Network
from kandinsky_core.seam.registry import get_backend
from kandinsky_core.seam.tensors import ComponentSource
from kandinsky_core.verification import TOLERANCES
from tests.parity import tiny  # noqa: F401 - skips where PyTorch is missing
from tools.parity_page import MARKS

COMPONENTS = (
    *("text_encoder", "image_encoder", "prior", "unet", "movq encode", "movq decode"),
    "picture",
)
FEW = ("--steps", "4")
PAGE = Path(__file__).parents[2] / "docs" / "parity.md"


class Damaged:
    """JAX with a decoder of MoVQ whose pixels are too bright by a hundredth."""

    name = "jax"

    def __init__(self) -> None:
        self._backend: Any = get_backend("jax")

    def load(self, source: ComponentSource, dtype: str, device: str | None = None) -> Network:
        network: Any = self._backend.load(source, dtype, device)
        if source.class_name == "VQModel":
            decode = network.decode
            network.decode = lambda latents: decode(latents) + 0.01
        return network  # type: ignore[no-any-return]

    def memory(self, device: str | None = None) -> None:
        return None

    def report(self) -> BackendReport:
        report: BackendReport = self._backend.report()
        return report


@pytest.mark.slow
def test_both_backends_agree_with_diffusers_in_one_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("mindspore")
    words = ["--backends", "jax,mindspore", "--against", "diffusers", *FEW, "--json"]
    assert main(["verify", "--model", "shapes", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert found["first"] is None
    assert set(found["versions"]) == {"jax", "mindspore", "diffusers"}
    assert found["versions"]["mindspore"].keys() == {"mindspore", "mindone"}
    rows = {(row["component"], row["backend"]): row for row in found["rows"]}
    assert list(rows) == [(part, name) for name in ("jax", "mindspore") for part in COMPONENTS]
    assert all(row["max_abs"] > 0 for row in rows.values()), "compared with itself?"
    for name in ("jax", "mindspore"):
        assert rows["picture", name]["psnr"] > 80
    for part in COMPONENTS:
        first, second = (rows[part, name] for name in ("jax", "mindspore"))
        alike = all(first[figure] == second[figure] for figure in ("max_abs", "relative"))
        assert not alike, f"{part}: one backend, measured twice?"


@pytest.mark.slow(seconds=6)
def test_the_first_component_that_differs_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "get_backend", lambda _: Damaged())
    assert main(["verify", "--backends", "jax", "--against", "diffusers", *FEW]) == 1
    output, error = capsys.readouterr()
    assert error == ""
    *table, verdict = output.splitlines()
    assert [line.split("  ")[0] for line in table if "exceeds" in line] == [
        "movq decode",
        "picture",
    ]
    assert verdict.startswith("against diffusers (torch ")
    assert verdict.endswith("first to differ: movq decode on jax")


@pytest.mark.slow
def test_plain_command_of_a_new_process_prints_the_table_and_nothing_else() -> None:
    """All that is installed, against diffusers; the libraries keep silent."""
    pytest.importorskip("mindspore")
    command = [sys.executable, "-m", "kandinsky_cli.main", "verify", *FEW]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 2 * len(COMPONENTS)
    assert lines[0].split() == ["component", "backend", "max", "abs", "relative", "PSNR"]
    assert lines[-1].endswith("all within tolerance")


def test_the_page_holds_what_verify_measures_within_its_tolerances() -> None:
    """`python -m tools.parity_page` writes the table; a component less would show here."""
    text = PAGE.read_text(encoding="utf-8")
    written = text[text.index(MARKS[0]) : text.index(MARKS[1])]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in written.splitlines()
        if line.startswith("|")
    ]
    header, _, *rows = cells
    assert header == ["component", "backend", "max abs", "relative", "PSNR", "tolerance"]
    assert [(row[0], row[1]) for row in rows] == [
        (part, name) for name in ("jax", "mindspore") for part in COMPONENTS
    ]
    component, picture = TOLERANCES["float32"]
    for part, _, absolute, relative, psnr, tolerance in rows:
        limit, found = (picture, absolute) if part == "picture" else (component, relative)
        assert float(tolerance.split()[0]) == limit
        assert 0 < float(found) <= limit
        assert bool(psnr) == (part == "picture")
