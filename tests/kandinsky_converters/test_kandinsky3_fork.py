"""Folders of kandinsky3-diffusers: they load as they are, and become folders of this library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.originals.kandinsky3_fork import fork_config
from kandinsky_core import (
    DiffusionPipeline,
    Kandinsky3ControlNetModel,
    Kandinsky3ControlNetPipeline,
)
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from tests.support.dict_tensors import DictTensors
from tests.support.fake_backend import FakeBackend
from tests.support.fake_hub import FakeHub
from tests.support.kandinsky3_fork_folder import fork_config_of, fork_weights, write_fork
from tests.support.torch_archive import write_torch_file

SIZES = {
    "attention_head_dim": 8,
    "block_out_channels": [8, 16, 24, 32],
    "cross_attention_dim": 32,
    "encoder_hid_dim": 24,
    "groups": 4,
    "in_channels": 4,
    "layers_per_block": 2,
    "time_embedding_dim": 16,
}
WITHOUT_TEXTS: dict[str, Any] = {"text_encoder": None, "tokenizer": None}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("forks")
    return {form: write_fork(root / form, form) for form in ("v2", "hed")}


@pytest.mark.parametrize("form", ["v2", "hed"])
def test_a_folder_loads_as_it_is(forks: dict[str, Path], form: str) -> None:
    """The backend accounts for every tensor; of HED edges the UNet reads the hint itself."""
    backend: Any = FakeBackend()
    pipe: Any = DiffusionPipeline.from_pretrained(forks[form], backend=backend, **WITHOUT_TEXTS)
    assert type(pipe) is Kandinsky3ControlNetPipeline
    assert {name: pipe.unet.config[name] for name in SIZES} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in SIZES.items()
    }
    assert pipe.unet.config.kind == ("controlnet" if form == "hed" else "decoder")
    assert (pipe.controlnet is None) == (form == "hed")
    if form == "v2":
        assert pipe.controlnet.config.hint_channels == 3


@pytest.mark.parametrize("form", ["v2", "hed"])
def test_a_folder_is_converted(forks: dict[str, Path], tmp_path: Path, form: str) -> None:
    report = convert(forks[form], "diffusers", tmp_path / "out")[""].components
    networks = {"movq", "unet", "controlnet"} if form == "v2" else {"movq", "unet"}
    assert set(report) == networks
    assert report["unet"].source_tensors == report["unet"].tensors
    index = json.loads((tmp_path / "out/model_index.json").read_text())
    assert index["_class_name"] == "Kandinsky3ControlNetPipeline"
    assert index["controlnet"][1] == (None if form == "hed" else "Kandinsky3ControlNetModel")
    assert (tmp_path / "out/tokenizer/spiece.model").read_bytes() == b"pieces"
    assert list(check(forks[form], tmp_path / "out")) == []
    backend: Any = FakeBackend()
    again: Any = DiffusionPipeline.from_pretrained(
        tmp_path / "out", backend=backend, **WITHOUT_TEXTS
    )
    assert again.unet.config.hint_channels == (3 if form == "hed" else 0)
    tensors = Checkpoint.open(tmp_path / "out").components["unet"].tensors()
    found = tensors.read("add_time_condition.attention.to_q.weight")
    name = "unet_hed" if form == "hed" else "unet"
    wanted = fork_weights(name)["feature_pooling.attention.to_query.weight"]
    np.testing.assert_array_equal(found, wanted)


def test_the_branch_alone_is_fetched_from_a_hub(hub: FakeHub, forks: dict[str, Path]) -> None:
    """Nobody needs the text encoder of 35 GB that lies beside it."""
    hub.add("ai-forever/depth", forks["v2"])
    backend: Any = FakeBackend()
    branch = Kandinsky3ControlNetModel.from_pretrained(
        "ai-forever/depth", subfolder="unet_controlnet", backend=backend
    )
    assert branch.config.branch_channels == (8, 16, 24)
    opened = OpenedModel.of("ai-forever/depth", "decoder", HubOptions())
    assert not (opened.folder / "unet/diffusion_pytorch_model.bin").exists()
    opened.components(["unet", "controlnet"])
    assert (opened.folder / "unet/diffusion_pytorch_model.bin").exists()


def test_a_damaged_folder_is_refused(forks: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(forks["v2"], tmp_path / "damaged"))
    file = folder / "unet/diffusion_pytorch_model.bin"
    shutil.copy(forks["hed"] / "unet/diffusion_pytorch_model.bin", file)
    with pytest.raises(InvalidInputError, match="this UNet reads the hint itself: leave"):
        # the config says nothing of a hint, and the weights do
        DiffusionPipeline.from_pretrained(folder, backend=FakeBackend(), **WITHOUT_TEXTS)  # type: ignore[arg-type]
    write_torch_file(file, {**fork_weights("unet"), "image_proj.weight": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match="1 tensors are none of a Kandinsky3UNet"):
        DiffusionPipeline.from_pretrained(folder, backend=FakeBackend(), **WITHOUT_TEXTS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_blocks": [2, 2, 2, 3]}, "equal numbers of blocks"),
        ({"dim_mult": "1248"}, "dim_mult is '1248': give whole numbers"),
        ({"dim_mult": [1, 2.5]}, "give whole numbers"),
        ({"model_channels": "8"}, "a whole number of channels"),
        ({"init_channels": 5}, "init_channels=5: allowed is half of model_channels, 4"),
        ({"head_dim": None}, "lacks head_dim"),
    ],
)
def test_configs_that_no_network_has(change: dict[str, Any], said: str) -> None:
    config = fork_config_of("unet") | change
    kept = {name: value for name, value in config.items() if value is not None}
    with pytest.raises(ConfigError, match=said):
        fork_config(kept, DictTensors({}))
