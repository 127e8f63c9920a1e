"""Which files hold a component's weights, and what is said where none do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kandinsky_core.checkpoints.weight_files import find_pickles, find_weight_files
from kandinsky_core.errors import CheckpointError


@pytest.fixture
def unet(tmp_path: Path) -> Path:
    (tmp_path / "unet").mkdir()
    return tmp_path / "unet"


def refused(folder: Path, variant: str | None) -> str:
    with pytest.raises(CheckpointError) as caught:
        find_weight_files(folder, variant)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "variant", "said"),
    [
        (
            ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bf16.safetensors"],
            "fp16",
            "there are weights for 'bf16', no variant",
        ),
        (["model.fp16.safetensors"], None, "there are weights for 'fp16' (model.fp16.safe"),
        (["model.fp16-00001-of-00002.safetensors"], None, "there are weights for 'fp16'"),
        (["model.safetensors.index.fp16.json"], None, "there are weights for 'fp16'"),
        (["pytorch_model.bin"], "fp16", "there are weights for no variant (pytorch_model.bin)"),
        (["pytorch_model.fp16.bin"], None, "there are weights for 'fp16'"),
        (["other.safetensors"], None, "weight files there: other.safetensors"),
    ],
)
def test_the_component_and_its_variants_are_named(
    unet: Path, names: list[str], variant: str | None, said: str
) -> None:
    for name in names:
        (unet / name).write_bytes(b"")
    message = refused(unet, variant)
    assert f"component 'unet': {unet} has no weights for" in message
    assert said in message


@pytest.mark.parametrize(
    ("index", "variant"),
    [
        ("pytorch_model.bin.index.json", None),
        ("diffusion_pytorch_model.bin.index.fp16.json", "fp16"),
        ("pytorch_model.fp16.bin.index.json", "fp16"),
    ],
)
def test_sharded_pickles_are_named_and_found_by_the_converter(
    unet: Path, index: str, variant: str | None
) -> None:
    (unet / "one.bin").write_bytes(b"")
    (unet / index).write_text(json.dumps({"weight_map": {"a": "one.bin"}}))
    message = refused(unet, variant)
    assert f"only pickled weights (the shards of {index})" in message
    assert "`kandinsky convert` does" in message
    assert find_pickles(unet, variant) == [unet / "one.bin"]


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "", "a/../../x"])
def test_shards_outside_are_refused(unet: Path, name: str) -> None:
    index = unet / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    assert "leads out of the folder" in refused(unet, None)


def test_a_link_whose_target_is_gone_is_named(unet: Path) -> None:
    (unet / "model.safetensors").symlink_to("missing")
    assert "which is gone" in refused(unet, None)
