"""`kandinsky verify` against PyTorch diffusers, as a user runs it."""

from __future__ import annotations

import json

import pytest

from kandinsky_core.cli.main import main
from tests.parity import tiny  # noqa: F401 - skips where PyTorch is missing


def test_jax_agrees_with_diffusers(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backends", "jax", "--against", "diffusers", "--steps", "4", "--json"]
    assert main(["verify", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert found["first"] is None
    rows = {row["component"]: row for row in found["rows"]}
    assert list(rows) == [
        *("text_encoder", "image_encoder", "prior", "unet", "movq encode", "movq decode"),
        "picture",
    ]
    assert all(row["max_abs"] > 0 for row in rows.values()), "compared with itself?"
    assert rows["picture"]["psnr"] > 80
