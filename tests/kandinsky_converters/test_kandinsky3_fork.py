"""Folders of kandinsky3-diffusers: they load as they are, and become folders of this library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.originals.files import open_originals
from kandinsky_converters.originals.kandinsky3_fork import fork_config
from kandinsky_core import (
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    Kandinsky3ControlNetModel,
    Kandinsky3ControlNetPipeline,
    Kandinsky3Img2ImgPipeline,
    Kandinsky3InpaintPipeline,
    Kandinsky3Pipeline,
    KandinskyV3PipelineIpAdapter,
)
from kandinsky_core.checkpoints.checkpoint import Checkpoint, ConfiguredComponent
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from kandinsky_core.pipelines.kandinsky3.ip_adapter_weights import with_ip_adapter
from tests.support.dict_tensors import DictTensors
from tests.support.fake_backend import FakeBackend
from tests.support.fake_hub import FakeHub
from tests.support.kandinsky3_fork_folder import fork_config_of, fork_weights, write_fork
from tests.support.kandinsky3_ip_adapter_folder import (
    UNET,
    original_unet,
    unet_tensors,
    write_ip_adapter,
)
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
    write_torch_file(file, {**fork_weights("unet"), "image_extra": np.zeros(3, np.float32)})
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


@pytest.fixture(scope="module")
def ip_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ip_adapter(tmp_path_factory.mktemp("ip_adapter"))


@pytest.mark.parametrize(
    ("loaded", "made"),
    [
        (DiffusionPipeline, Kandinsky3Pipeline),
        (AutoPipelineForImage2Image, Kandinsky3Img2ImgPipeline),
        (KandinskyV3PipelineIpAdapter, KandinskyV3PipelineIpAdapter),
    ],
)
def test_the_ip_adapter_loads_as_it_is(ip_adapter: Path, loaded: Any, made: Any) -> None:
    """Sizes come from the weights, as the config says nothing of the IP-Adapter."""
    pipe = loaded.from_pretrained(ip_adapter, backend=FakeBackend(), **WITHOUT_TEXTS)
    assert type(pipe) is made
    assert pipe.unet.config == Kandinsky3UNetConfig.from_dict(UNET)
    assert pipe.convention == "adapters"
    assert pipe.image_encoder.config.projection_dim == 16
    assert pipe.feature_extractor["size"] == {"shortest_edge": 32}


def test_a_hub_sends_only_what_is_needed(ip_adapter: Path, hub: FakeHub, tmp_path: Path) -> None:
    hub.add("ai-forever/kandinsky3_ip_adapter", ip_adapter)
    pipe = DiffusionPipeline.from_pretrained(
        "ai-forever/kandinsky3_ip_adapter",
        backend=FakeBackend(),
        cache_dir=tmp_path,
        **WITHOUT_TEXTS,
    )
    assert pipe.has_ip_adapter
    sent = hub.downloads("ai-forever/kandinsky3_ip_adapter")
    assert {name for name in sent if not name.endswith(".json")} == {
        "image_encoder/model.safetensors",
        "movq/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.bin",
    }


def test_the_ip_adapter_is_converted(ip_adapter: Path, tmp_path: Path) -> None:
    """The result is a model in diffusers' layout with our classes; no tensor is lost."""
    (found,) = convert(ip_adapter, "diffusers", tmp_path).values()
    assert found.components["unet"].used == len(original_unet())
    assert list(check(ip_adapter, tmp_path)) == []
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "Kandinsky3Pipeline"
    assert index["feature_extractor"] == ["transformers", "CLIPImageProcessor"]
    assert json.loads((tmp_path / "unet/config.json").read_text()).items() >= UNET.items()
    written = load_file(tmp_path / "unet/diffusion_pytorch_model.safetensors")
    for name, array in unet_tensors().items():
        np.testing.assert_array_equal(written.pop(name), array)
    assert not written
    again = DiffusionPipeline.from_pretrained(tmp_path, backend=FakeBackend(), **WITHOUT_TEXTS)
    assert type(again) is Kandinsky3Pipeline
    assert again.convention == "adapters"


def test_one_file_of_the_ip_adapter_is_converted_alone(ip_adapter: Path) -> None:
    path = ip_adapter / "unet/diffusion_pytorch_model.bin"
    (part,) = open_originals(str(path), [path], []).parts
    assert (part.config["num_image_tokens"], part.config["image_embed_dim"]) == (4, 16)


def test_wrong_folders_of_the_ip_adapter(ip_adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not fit a UNet with 4 input channels"):
        Kandinsky3InpaintPipeline.from_pretrained(
            ip_adapter, backend=FakeBackend(), **WITHOUT_TEXTS
        )
    unet = write_ip_adapter(tmp_path) / "unet"
    tensors = original_unet()
    tensors["image_extra"] = tensors["image_norm.bias"]
    write_torch_file(unet / "diffusion_pytorch_model.bin", tensors)
    with pytest.raises(CheckpointError, match=r"1 tensors are none .* \(image_extra\)"):
        Kandinsky3Pipeline.from_pretrained(tmp_path, backend=FakeBackend(), **WITHOUT_TEXTS)
    (unet / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match="unet"):
        Kandinsky3Pipeline.from_pretrained(tmp_path, backend=FakeBackend(), **WITHOUT_TEXTS)


def test_other_models_load_no_converter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model of diffusers is what its index says, with no other layout asked."""
    index = {"_class_name": "Kandinsky3Pipeline", "unet": ["diffusers", "Kandinsky3UNet"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    monkeypatch.setattr("kandinsky_core.checkpoints.checkpoint.other_layouts", lambda: 1 / 0)
    assert Checkpoint.open(tmp_path).pipeline_class == "Kandinsky3Pipeline"


def test_adapters_that_do_not_fit(ip_adapter: Path) -> None:
    """Told by configs and names alone, before the weights of the UNet are copied."""
    pipe = Kandinsky3Pipeline.from_pretrained(ip_adapter, backend=FakeBackend(), **WITHOUT_TEXTS)
    for wrong in ({"subfolder": "models"}, {"weight_name": "ip.bin"}, {"commit": "main"}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            pipe.load_ip_adapter(ip_adapter, **wrong)
    for several in ([ip_adapter, ip_adapter], [], {"image_proj.weight": np.zeros(1)}):
        with pytest.raises(InvalidInputError, match="there is one IP-Adapter"):
            pipe.load_ip_adapter(several)
    for config, message in (
        ({**UNET, "num_image_tokens": 0}, "holds no IP-Adapter of Kandinsky 3"),
        ({**UNET, "cross_attention_dim": 64}, "for a UNet of other sizes"),
    ):
        source = ConfiguredComponent("unet", "", "Kandinsky3UNet", ip_adapter, settings=config)
        with pytest.raises(CheckpointError, match=message):
            with_ip_adapter(pipe.unet, source)
