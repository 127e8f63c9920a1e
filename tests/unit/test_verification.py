"""Comparing backends: what passes, what does not, and which component is named."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kandinsky_core.cli import run_verify
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.verification import TOLERANCES, compare, inputs, outputs
from tests.fakes import combined_pipeline


def test_compare_measures_the_worst_of_several_results() -> None:
    expected = [np.array([3.0, 4.0]), np.array([1.0, 0.0])]
    got = [np.array([3.0, 4.0]), np.array([1.0, 0.5])]
    row = compare("prior", "a", "b", got, expected, "float32")
    assert (row.max_abs, row.relative, row.psnr, row.passed) == (0.5, 0.5, None, False)
    assert compare("prior", "a", "b", expected, expected, "float32").passed


def test_a_picture_is_judged_by_its_largest_difference() -> None:
    limit = TOLERANCES["float32"][1]
    black = np.zeros((1, 2, 2, 3))
    white = black + 1
    near = white - limit / 2
    row = compare("picture", "a", "b", [near], [white], "float32")
    assert row.passed
    assert row.psnr == pytest.approx(-20 * np.log10(limit / 2))
    assert not compare("picture", "a", "b", [black], [white], "float32").passed


def test_nan_does_not_pass() -> None:
    row = compare("unet", "a", "b", [np.array([np.nan])], [np.array([1.0])], "float32")
    assert not row.passed


def test_every_component_is_fed_and_run() -> None:
    pipe = combined_pipeline()
    pipe.prior_pipe.image_encoder.encode = lambda pixels: np.ones((len(pixels), 6), np.float32)
    given = inputs(pipe, "abc", 16, 32)
    found = dict(outputs(pipe, given))
    assert list(found) == list(given)
    assert given["movq encode"][0].shape == (1, 3, 16, 32)
    assert given["unet"][0].shape == found["unet"][0].shape == (1, 4, 4, 8)
    # The row gives back the guided output: u + 4 (c - u) of the fake's constant prediction.
    unconditional, conditional = given["unet"][1]["image_embeds"].mean(axis=1)
    expected = unconditional + 4 * (conditional - unconditional)
    np.testing.assert_allclose(found["unet"][0], expected, rtol=1e-4)


@pytest.fixture
def two_backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`good` and `bad`, whose UNet and picture are off."""

    def results(options: Namespace, name: str, given: Any) -> tuple[dict[str, Any], Any]:
        off = 0.1 if name == "bad" else 0.0
        one = np.ones((1, 4))
        return {"prior": (one,), "unet": (one + off,), "picture": (one + off,)}, given

    monkeypatch.setattr(run_verify, "_results", results)
    return {"dtype": "float32", "steps": 1, "json": False, "against": None}


def test_exit_code_and_the_first_component_that_differs(
    two_backends: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = SimpleNamespace(**two_backends, backends="good,bad")
    assert run_verify.run(options) == 1  # type: ignore[arg-type]
    text = capsys.readouterr().out
    assert "against good: first to differ: unet" in text
    options = SimpleNamespace(**two_backends, backends="good,fine")
    assert run_verify.run(options) == 0  # type: ignore[arg-type]
    assert "all within tolerance" in capsys.readouterr().out


def test_one_backend_alone_has_nothing_to_be_compared_with(two_backends: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="--against diffusers"):
        run_verify.run(SimpleNamespace(**two_backends, backends="good"))  # type: ignore[arg-type]
