"""Names from a model's files lead nowhere but into the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kandinsky_core.checkpoints.inside import component_name, inside
from kandinsky_core.errors import CheckpointError

NAMES: list[Any] = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "a//b",
    "a/./b",
    "/etc/passwd",
    "~\\x",
    "..\\x",
    "C:x",
    "a\0b",
    "\ud800",
    "x" * 256,
    None,
    3,
    ["a"],
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(CheckpointError, match="allowed"):
        inside(tmp_path, name)


@pytest.mark.parametrize("name", [*NAMES, "a/b", ".config", ".lock", "model_index.json", "a b"])
def test_a_component_is_a_plain_folder_name(tmp_path: Path, name: Any) -> None:
    with pytest.raises(CheckpointError, match="plain name of a folder"):
        component_name(tmp_path / "model_index.json", name)


@pytest.mark.parametrize("name", ["unet", "a/b.json", ".hidden", "ünï.txt", "a..b", "~x"])
def test_names_of_the_inside_pass_whether_or_not_they_exist(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name


def test_links_stay_within_the_folder(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (model / "file").write_text("x")
    (model / "near").symlink_to("file")
    (model / "far").symlink_to("../secret")
    (model / "up").symlink_to("..")
    (model / "circle").symlink_to("circle")
    (model / "gone").symlink_to("missing")
    assert inside(model, "near") == model / "near"
    for name, said in (
        ("far", "is a link to .*secret, outside of"),
        ("up", "outside of"),
        ("up/secret", "outside of"),
        ("circle", "cannot be followed|is a link to"),
        ("gone", "is a link to .*missing, which is gone"),
    ):
        with pytest.raises(CheckpointError, match=said):
            inside(model, name)


def test_a_model_folder_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert inside(tmp_path / "link", "file").read_text() == "x"


def test_snapshots_of_a_hub_link_to_its_blobs_and_no_further(tmp_path: Path) -> None:
    root = tmp_path / "models--owner--name"
    unet = root / "snapshots" / "0123" / "unet"
    unet.mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "blobs" / "sha").write_text("x")
    (tmp_path / "secret").write_text("x")
    (unet / "config.json").symlink_to("../../../blobs/sha")
    (unet / "far").symlink_to("../../../../secret")
    assert inside(unet, "config.json").read_text() == "x"
    assert inside(unet.parent, "unet/config.json").read_text() == "x"
    with pytest.raises(CheckpointError, match="outside of"):
        inside(unet, "far")
    (root / "blobs" / "sha").unlink()
    with pytest.raises(CheckpointError, match=r"which is gone.*force_download=True"):
        inside(unet, "config.json")
