"""A model found by its name once; a component that reads its files once, and sees new ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kandinsky_converters.writers import write_mindspore
from kandinsky_core.checkpoints.checkpoint import Component
from kandinsky_core.checkpoints.hub import EMBEDDED, HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import CheckpointError, ModelNotFoundError
from tests.support.fake_hub import FakeHub

SHAPES = EMBEDDED["shapes"]
OPTIONS = HubOptions()


def write_safetensors(folder: Path, value: float) -> Path:
    path = folder / "model.safetensors"
    save_file({"weight": np.full((2, 3), value, np.float32)}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    return path


def write_ckpt(folder: Path, value: float) -> Path:
    path = folder / "kandinsky_mindspore.ckpt"
    values = np.full((2, 3), value, np.float32)
    write_mindspore(path.with_suffix(".new"), {"weight": ((2, 3), "F32")}, lambda _: values)
    path.with_suffix(".new").replace(path)
    return path


@pytest.mark.parametrize("write", [write_safetensors, write_ckpt])
def test_a_file_that_was_replaced_is_read_anew(
    tmp_path: Path, write: Callable[[Path, float], Path]
) -> None:
    component = Component("unet", "", "UNet2DConditionModel", tmp_path)
    with pytest.raises(CheckpointError, match="has no weights"):
        component.tensors()
    path = write(tmp_path, 1)
    before = component.tensors()
    assert component.tensors() is not before
    assert before.read("weight").max() == 1
    write(tmp_path, 2)
    assert component.tensors().read("weight").max() == 2
    assert before.read("weight").max() == 1  # it goes on with the file that it has mapped
    path.unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        component.tensors()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system what is mapped")
def test_a_component_keeps_headers_and_no_mapping(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path, 1)
    component = Component("unet", "", "UNet2DConditionModel", tmp_path)

    def mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    tensors = component.tensors()
    values = tensors.read("weight")
    del tensors
    assert values.max() == 1
    assert mapped()
    del values
    assert not mapped()


def test_parts_of_a_folder(model: Path) -> None:
    """A folder that holds both halves is another one for each part."""
    for name in ("shapes", model):
        decoder = OpenedModel.of(name, "decoder", OPTIONS)
        assert OpenedModel.of(decoder, "decoder", OPTIONS) is decoder
        prior = OpenedModel.of(decoder, "prior", OPTIONS)
        assert prior.pipeline_class == "KandinskyV22PriorPipeline"
        assert (prior.name, prior.folder.name) == (name, "prior")


def test_a_folder_that_is_the_model(model: Path) -> None:
    prior = OpenedModel.of(model / "prior", "decoder", OPTIONS)
    assert OpenedModel.of(prior, "prior", OPTIONS) is prior
    (model / "prior").rename(model / "decoder/prior")  # which holds another model now
    decoder = OpenedModel.of(model / "decoder", "decoder", OPTIONS)
    assert OpenedModel.of(decoder, "prior", OPTIONS).folder == model / "decoder/prior"


def test_components_are_fetched_when_they_are_wanted(
    hub: FakeHub, model: Path, tmp_path: Path
) -> None:
    hub.add("owner/decoder", model / "decoder")
    opened = OpenedModel.of("owner/decoder", "decoder", HubOptions(cache_dir=tmp_path))
    assert hub.downloads("owner/decoder") == {"model_index.json", "README.md"}
    first = opened.checkpoint
    assert set(opened.components(["movq"])) == {"movq"}
    assert not any(name.startswith("unet/") for name in hub.downloads("owner/decoder"))
    unet = opened.components(["movq", "unet"])["unet"]
    assert opened.checkpoint is first
    assert unet.config["_class_name"] == "UNet2DConditionModel"
    asked = len(hub.requests)
    opened.components(["unet"])
    assert len(hub.requests) == asked
    with pytest.raises(CheckpointError, match="without prior"):
        opened.components(["prior"])


def test_what_cannot_be_fetched_is_named(hub: FakeHub, model: Path, tmp_path: Path) -> None:
    hub.add("owner/decoder", model / "decoder")
    options: Any = HubOptions(cache_dir=tmp_path)
    opened = OpenedModel.of("owner/decoder", "decoder", options)
    hub.clear()
    with pytest.raises((ModelNotFoundError, CheckpointError), match=r"owner/decoder|unet"):
        opened.components(["unet"])
