"""A model folder is a stranger's: conversion touches nothing but the folder and its copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.sources import open_source
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.errors import CheckpointError
from tests.support.damage import edit_json

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def decoder(model: Path) -> Path:
    return model / "decoder"


def refused(source: Path, said: str) -> None:
    """Convert, which must refuse, and leave nothing: neither the output nor a file beside it."""
    work = source.parents[1]
    before = sorted(work.rglob("*"))
    with pytest.raises(CheckpointError, match=said) as caught:
        convert(source, "jax", work / "output" / "folder")
    assert "\n" not in str(caught.value)
    shutil.rmtree(work / "output", ignore_errors=True)
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../.config", "..", ".", "", "a/../../payload", "/tmp/x", ".lock", "unet/../unet"]
)
def test_components_are_plain_names(decoder: Path, name: str) -> None:
    edit_json(decoder / "model_index.json", **{name: ["diffusers", "Nothing"]})
    refused(decoder, "plain name of a folder")
    with pytest.raises(CheckpointError, match="plain name of a folder"):
        Checkpoint.open(decoder)


def test_components_of_a_report_are_plain_names(decoder: Path) -> None:
    (decoder / "model_index.json").unlink()
    (decoder / "conversion.json").write_text(
        json.dumps({"components": {"../prior": {"class": "PriorTransformer"}}})
    )
    refused(decoder, "plain name of a folder")


def test_a_component_that_is_a_link_leads_nowhere_else(decoder: Path, tmp_path: Path) -> None:
    shutil.move(decoder / "movq", tmp_path / "elsewhere")
    (decoder / "movq").symlink_to(tmp_path / "elsewhere")
    refused(decoder, "is a link to .*elsewhere")


@pytest.mark.parametrize(
    "place", ["scheduler/notes.txt", "unet/config.json", "README.md", "scheduler/deep"]
)
def test_what_a_link_leads_to_is_not_copied(decoder: Path, tmp_path: Path, place: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("{}")
    (decoder / place).unlink(missing_ok=True)
    (decoder / place).symlink_to(secret if place.endswith("deep") else secret / "file")
    refused(decoder, "is a link to .*secret")


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_lie_in_their_folder(
    decoder: Path, tmp_path: Path, absolute: bool, kind: str
) -> None:
    outside = tmp_path / "x.safetensors"
    shutil.move(decoder / "unet" / WEIGHTS, outside)
    name = str(outside) if absolute else "../../../x.safetensors"
    index = decoder / "unet" / f"diffusion_pytorch_model.{kind}.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    refused(decoder, "leads out of the folder")


def test_weights_that_are_a_link_lie_in_the_model(decoder: Path, tmp_path: Path) -> None:
    shutil.move(decoder / "unet" / WEIGHTS, tmp_path / "x")
    (decoder / "unet" / WEIGHTS).symlink_to(tmp_path / "x")
    refused(decoder, "is a link to")


def test_a_linked_folder_and_a_snapshot_are_converted(model: Path, tmp_path: Path) -> None:
    root = tmp_path / "models--a--b"
    snapshot = root / "snapshots" / "0123"
    (root / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted((model / "decoder").rglob("*"))):
        if path.is_file():
            copy = snapshot / path.relative_to(model / "decoder")
            copy.parent.mkdir(parents=True, exist_ok=True)
            up = "../" * (len(copy.relative_to(root).parts) - 1)
            shutil.copyfile(path, root / "blobs" / str(number))
            copy.symlink_to(f"{up}blobs/{number}")
    (tmp_path / "link").symlink_to(snapshot)
    convert(tmp_path / "link", "diffusers", tmp_path / "output")
    assert not any(path.is_symlink() for path in (tmp_path / "output").rglob("*"))
    assert list(check(snapshot, tmp_path / "output")) == []
    (found,) = open_source(snapshot, HubOptions())
    assert [part.name for part in found.parts] == ["movq", "unet"]


def test_halves_that_a_user_linked_are_converted(model: Path, tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    pair.mkdir()
    for half in ("prior", "decoder"):
        (pair / half).symlink_to(model / half)
    (pair / ".cache").symlink_to(model / "decoder")  # not a half: its name is hidden
    assert [found.subfolder for found in open_source(pair, HubOptions())] == ["decoder", "prior"]
