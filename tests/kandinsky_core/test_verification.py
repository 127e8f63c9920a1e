"""Comparing backends: what passes, what does not, and which component is named."""

from __future__ import annotations

import json
from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kandinsky_cli.commands import verify as command
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.seam import registry
from kandinsky_core.seam.backend import BackendReport
from kandinsky_core.verification import TOLERANCES, compare, outputs
from tests.support import fakes_2_0, fakes_2_1
from tests.support.fakes import combined_pipeline


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


def test_two_backends_may_both_be_off() -> None:
    """A component of a backend beside another backend's, and a picture as always."""
    limit, of_picture = TOLERANCES["float32"]
    expected = [np.array([1.0])]
    off = [expected[0] + 1.5 * limit]
    assert not compare("unet", "a", "diffusers", off, expected, "float32").passed
    assert compare("unet", "a", "b", off, expected, "float32", peers=True).passed
    assert compare("picture", "a", "b", off, expected, "float32", peers=True).tolerance == (
        of_picture
    )


def test_a_reference_that_is_zero() -> None:
    zero, one = [np.zeros(3)], [np.ones(3)]
    assert compare("unet", "a", "b", zero, zero, "float32").passed
    assert not compare("unet", "a", "b", one, zero, "float32").passed


def fed_and_run(pipe: Any, height: int, width: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and the outputs of each component."""
    parts = pipe.verified(pipe)
    given = parts.inputs(parts.call("ad", height, width, 1))
    found = dict(outputs(parts.runs(), given))
    assert list(found) == list(given)
    return given, found


def test_every_component_is_fed_and_run() -> None:
    pipe = combined_pipeline()
    pipe.prior_pipe.image_encoder.encode = lambda pixels: np.ones((len(pixels), 6), np.float32)
    given, found = fed_and_run(pipe, 16, 32)
    assert given["movq encode"][0].shape == (1, 3, 16, 32)
    assert given["unet"][0].shape == found["unet"][0].shape == (1, 4, 4, 8)
    # The row gives back the guided output: u + 4 (c - u) of the fake's constant prediction.
    unconditional, conditional = given["unet"][1]["image_embeds"].mean(axis=1)
    expected = unconditional + 4 * (conditional - unconditional)
    np.testing.assert_allclose(found["unet"][0], expected, rtol=1e-4)


def test_a_decoder_that_reads_texts_has_one_component_more() -> None:
    pipe = fakes_2_1.combined("decoder")
    pipe.prior_pipe.image_encoder.encode = lambda pixels: np.ones((len(pixels), 6), np.float32)
    given, found = fed_and_run(pipe, 16, 16)
    assert list(found)[:2] == ["text_encoder", "multilingual"]
    embeds, states = found["multilingual"]
    conditioning = given["unet"][1]
    # the empty text and the prompt, encoded by the reference
    np.testing.assert_array_equal(conditioning["text_embeds"][0], 0)
    np.testing.assert_array_equal(conditioning["text_embeds"][1:], embeds)
    np.testing.assert_array_equal(conditioning["text_encoder_hidden_states"][1:], states)
    assert embeds.any()


def test_a_family_without_prior() -> None:
    """Kandinsky 2.0: the UNet gets what the pipeline's own call makes of the prompt."""
    pipe = fakes_2_0.pipeline()
    given, found = fed_and_run(pipe, 16, 16)
    assert list(found) == ["text_encoder", "text_encoder_2", "unet", "vae encode", "vae decode"]
    _, conditioning, scale = given["unet"]
    states = conditioning["text_encoder_hidden_states_2"]
    np.testing.assert_array_equal(states[1:], found["text_encoder_2"][0])
    assert (len(states), scale) == (2, 4)
    assert type(pipe).verified.lacking(SimpleNamespace()) == "Kandinsky 2.0"


class Library:
    """A backend by name; `bad` has a UNet and a picture that are off."""

    def __init__(self, name: str) -> None:
        self.name = name

    def report(self) -> BackendReport:
        return BackendReport(name=self.name, available=True, versions={f"lib{self.name}": "1.2"})


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends of any name; `installed` and `reference` say what the defaults are."""

    def results(
        options: Namespace, library: Any, halves: Any, given: Any
    ) -> tuple[dict[str, Any], Any]:
        off = 0.1 if library.name == "bad" else 0.0
        one = np.ones((1, 4))
        return {"prior": (one,), "unet": (one + off,), "picture": (one + off,)}, given

    monkeypatch.setattr(command, "_results", results)
    monkeypatch.setattr(registry, "get_backend", Library)
    monkeypatch.setattr(registry, "get_reference", Library)


@pytest.fixture
def no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without PyTorch."""

    def refuse(name: str) -> Any:
        raise BackendUnavailableError(f"{name} needs torch")

    monkeypatch.setattr(registry, "get_reference", refuse)


@pytest.fixture
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the backends named."""
    monkeypatch.setattr(registry, "available_backends", lambda: request.param)


def verify(**given: Any) -> int:
    defaults = {"dtype": "float32", "steps": 1, "json": False, "model": "shapes"}
    defaults |= {"against": None, "backends": None, "converted": None, "prior": None}
    defaults |= {"height": None, "width": None}
    return command.run(Namespace(**defaults | given))


@pytest.mark.usefixtures("fakes")
def test_exit_code_and_the_first_component_that_differs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify(backends="fine, bad", against="good") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        [component, backend]
        for backend in ("fine", "bad")
        for component in ("prior", "unet", "picture")
    ]
    exceeds = [line.split()[0] for line in lines if "exceeds" in line]
    assert exceeds == ["unet", "picture"]
    assert lines[-1] == "against good (libgood 1.2): first to differ: unet on bad"
    assert verify(backends="fine", against="good") == 0
    assert capsys.readouterr().out.endswith("(libgood 1.2): all within tolerance\n")


@pytest.mark.usefixtures("fakes")
def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(backends="bad", against="good", json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    assert found["first"] == {"component": "unet", "backend": "bad"}
    assert found["versions"] == {"good": {"libgood": "1.2"}, "bad": {"libbad": "1.2"}}
    assert [row["passed"] for row in found["rows"]] == [True, False, False]


@pytest.mark.usefixtures("fakes", "installed")
@pytest.mark.parametrize("installed", [["jax"], ["jax", "mindspore"]], indirect=True)
def test_by_default_all_that_is_installed_is_compared_with_diffusers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify() == 0
    assert "against diffusers" in capsys.readouterr().out


@pytest.mark.usefixtures("fakes", "no_reference", "installed")
@pytest.mark.parametrize("installed", [["jax", "mindspore"]], indirect=True)
def test_without_diffusers_the_first_backend_is_the_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify() == 0
    assert "against jax" in capsys.readouterr().out


@pytest.mark.usefixtures("fakes", "no_reference", "installed")
@pytest.mark.parametrize("installed", [["jax"]], indirect=True)
@pytest.mark.parametrize("given", [{}, {"backends": "jax", "against": "jax"}])
def test_one_backend_alone_is_told_what_to_install(given: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        verify(**given)
    assert str(caught.value) == (
        "jax alone has nothing to be compared with: name another by --backends, or "
        "--against diffusers; what is missing comes with pip install "
        "'kandinsky-anywhere[mindspore]' or pip install 'kandinsky-anywhere[test]'"
    )
