"""Scripts of four kinds of users give the same pictures on diffusers and on this library.

A script reads the library's name from `LIBRARY`, and differs in nothing else.
"""

from __future__ import annotations

import gc
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.support.backends import BACKENDS, all_on_jax
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

SCRIPTS = Path(__file__).parents[1] / "user_scripts"
pytestmark = pytest.mark.usefixtures("one_backend")


def run(script: str, library: str, words: list[str], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    patch.setenv("LIBRARY", library)
    patch.setattr(sys, "argv", [script, *words])
    return runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")


def compare(script: str, words: list[str], patch: pytest.MonkeyPatch, tolerance: float) -> None:
    """Run a script on both; a word with `{}` differs by the library."""
    found = {}
    for library in ("diffusers", "kandinsky_core"):
        found[library] = run(script, library, [word.format(library) for word in words], patch)
        gc.collect()
    theirs, ours = found["diffusers"], found["kandinsky_core"]
    assert ours["facts"] == theirs["facts"]
    assert list(ours["pictures"]) == list(theirs["pictures"])
    apart = {
        name: float(np.abs(picture - theirs["pictures"][name]).max())
        for name, picture in ours["pictures"].items()
    }
    print(script, apart)  # noqa: T201
    assert max(apart.values()) < tolerance, apart


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize(
    ("backend", "script"), all_on_jax(["callbacks", "schedulers", "memory"], "callbacks")
)
def test_script(
    backend: str,
    script: str,
    random_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KANDINSKY_BACKEND", backend)
    words = [str(random_root), str(tmp_path / "{}")]
    compare(script, words, monkeypatch, allowed("user script"))


def save_lora(path: Path, unet: Any, seed: int) -> None:
    """A LoRA of the UNet's attention, as PEFT writes it."""
    rng = np.random.default_rng(seed)
    content = {}
    for name, layer in unet.named_modules():
        if name.endswith(("to_q", "to_v")) and isinstance(layer, torch.nn.Linear):
            low = rng.standard_normal((2, layer.in_features), np.float32)
            high = rng.standard_normal((layer.out_features, 2), np.float32)
            content[f"{name}.lora_A.weight"] = low * np.float32(0.1)
            content[f"{name}.lora_B.weight"] = high * np.float32(0.1)
    save_file(content, path)


@pytest.mark.slow(seconds=10)
@pytest.mark.skipif(find_spec("peft") is None, reason="diffusers loads a LoRA with peft alone")
@pytest.mark.parametrize("backend", BACKENDS)
def test_lora_script(
    backend: str, random_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANDINSKY_BACKEND", backend)
    unet = diffusers.UNet2DConditionModel.from_pretrained(random_root / "decoder", subfolder="unet")
    for seed, name in enumerate(("first", "second")):
        save_lora(tmp_path / f"{name}.safetensors", unet, seed)
    compare("lora", [str(random_root), str(tmp_path)], monkeypatch, allowed("user script"))
