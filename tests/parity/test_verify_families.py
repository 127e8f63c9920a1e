"""`kandinsky verify` with models of Kandinsky 3, with its adapters too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kandinsky_cli.main import main
from kandinsky_core.arrays import Array
from kandinsky_core.seam import registry
from tests.kandinsky_cli.run import runner
from tests.parity import tiny
from tests.parity.random_models_3 import save_kandinsky3, tokenizer
from tests.support.fake_backend import FakeBackend
from tests.support.kandinsky3_adapters_folder import write_adapters

SIZE = ("--height", "64", "--width", "64", "--steps", "2")
OF_3 = ["text_encoder", "unet", "movq encode", "movq decode", "picture"]
OF_ADAPTERS = ["text_encoder", "image_encoder", "unet", "controlnet", *OF_3[2:]]


class Peer(FakeBackend):
    """A fake of any name; that of the name `bad` has a branch that is off."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self, source: Any, dtype: str, device: str | None = None) -> Any:
        made = super().load(source, dtype, device)
        if self.name == "bad" and source.class_name == "Kandinsky3ControlNetModel":
            made.beside = Off
        return made


class Off:
    """A UNet with a branch whose outputs are off by one."""

    def __init__(self, unet: Any) -> None:
        self._unet = unet

    def begin(self, sample: Array, *words: Any, **options: Any) -> Any:
        run = self._unet.begin(sample, *words, **options)
        read = run.read
        run.read = lambda: read() + 1
        return run


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "get_backend", Peer)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapters(tmp_path_factory.mktemp("adapters"), tokenizer())


@pytest.mark.usefixtures("fakes")
def test_a_backend_stands_in_for_diffusers_where_that_lacks_the_model(
    adapters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The branch is compared beside the UNet, and one of the backends has a bad one."""
    run = runner(capsys)
    words: tuple[Any, ...] = ("verify", "--model", adapters, *SIZE)
    code, out, error = run(*words, "--backends", "one,two,bad")
    assert (code, error) == (1, "")
    *table, verdict = out.splitlines()[1:]
    assert [line[:16].strip() for line in table] == OF_ADAPTERS * 2
    assert next(line[:19].split() for line in table if "exceeds" in line) == ["controlnet", "bad"]
    assert verdict.startswith("against one (")
    for more, message in (
        ("--backends one,two --against diffusers", "diffusers: it has no ControlNet of Kandins"),
        ("--backends one", "one alone has nothing to be compared with: name another by --backends"),
        ("--backends one,two --prior x", "has no prior, leave it out"),
    ):
        code, out, error = run(*words, *more.split())
        assert (code, out) == (2, "")
        assert message in error


def test_the_reference_takes_latents_of_the_unets_dtype() -> None:
    """As diffusers' pipeline of Kandinsky 3 hands them over, where the UNet is in bfloat16."""
    torch = pytest.importorskip("torch")
    components = pytest.importorskip("kandinsky_reference.components")
    network = components.TorchAutoencoder(tiny.movq(tiny.MOVQ), None).network
    latents = torch.zeros((1, 4, 4, 4), dtype=torch.bfloat16)
    assert network.decode(latents, force_not_quantize=True).sample.dtype == torch.float32


@pytest.mark.slow(seconds=10)
def test_kandinsky_3_agrees_with_diffusers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jax")
    save_kandinsky3(tmp_path)
    words = ["verify", "--model", str(tmp_path), "--backends", "jax", *SIZE, "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["component"] for row in found["rows"]] == OF_3
    assert {row["reference"] for row in found["rows"]} == {"diffusers"}
    assert all(row["max_abs"] > 0 for row in found["rows"]), "compared with itself?"
