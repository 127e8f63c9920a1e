"""Models of ai-forever's fork of diffusers: loading and converting them as they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.originals.files import open_originals
from kandinsky_core import (
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    Kandinsky3Img2ImgPipeline,
    Kandinsky3InpaintPipeline,
    Kandinsky3Pipeline,
    KandinskyV3PipelineIpAdapter,
)
from kandinsky_core.checkpoints.checkpoint import Checkpoint, ConfiguredComponent
from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from kandinsky_core.pipelines.kandinsky3.ip_adapter_weights import with_ip_adapter
from tests.support.fake_backend import FakeBackend
from tests.support.fake_hub import FakeHub
from tests.support.kandinsky3_fork import UNET, original_unet, unet_tensors, write_fork
from tests.support.torch_archive import write_torch_file

NO_TEXTS: dict[str, Any] = {"tokenizer": None, "text_encoder": None}


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fork(tmp_path_factory.mktemp("fork"))


@pytest.mark.parametrize(
    ("loaded", "made"),
    [
        (DiffusionPipeline, Kandinsky3Pipeline),
        (AutoPipelineForImage2Image, Kandinsky3Img2ImgPipeline),
        (KandinskyV3PipelineIpAdapter, KandinskyV3PipelineIpAdapter),
    ],
)
def test_folder_loads_as_it_is(fork: Path, loaded: Any, made: Any) -> None:
    """Sizes come from the weights, as the config says nothing of the IP-Adapter."""
    pipe = loaded.from_pretrained(fork, backend=FakeBackend(), **NO_TEXTS)
    assert type(pipe) is made
    assert pipe.unet.config == Kandinsky3UNetConfig.from_dict(UNET)
    assert pipe.convention == "adapters"
    assert pipe.image_encoder.config.projection_dim == 16
    assert pipe.feature_extractor["size"] == {"shortest_edge": 32}


def test_hub_sends_only_what_is_needed(fork: Path, hub: FakeHub, tmp_path: Path) -> None:
    hub.add("ai-forever/kandinsky3_ip_adapter", fork)
    pipe = DiffusionPipeline.from_pretrained(
        "ai-forever/kandinsky3_ip_adapter",
        backend=FakeBackend(),
        cache_dir=tmp_path,
        **NO_TEXTS,
    )
    assert pipe.has_ip_adapter
    sent = hub.downloads("ai-forever/kandinsky3_ip_adapter")
    assert {name for name in sent if not name.endswith(".json")} == {
        "image_encoder/model.safetensors",
        "movq/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.bin",
    }


def test_conversion(fork: Path, tmp_path: Path) -> None:
    """The result is a model in diffusers' layout with our classes; no tensor is lost."""
    (found,) = convert(fork, "diffusers", tmp_path).values()
    assert found.components["unet"].used == len(original_unet())
    assert list(check(fork, tmp_path)) == []
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "Kandinsky3Pipeline"
    assert index["feature_extractor"] == ["transformers", "CLIPImageProcessor"]
    assert json.loads((tmp_path / "unet/config.json").read_text()).items() >= UNET.items()
    written = load_file(tmp_path / "unet/diffusion_pytorch_model.safetensors")
    for name, array in unet_tensors().items():
        np.testing.assert_array_equal(written.pop(name), array)
    assert not written
    again = DiffusionPipeline.from_pretrained(tmp_path, backend=FakeBackend(), **NO_TEXTS)
    assert type(again) is Kandinsky3Pipeline
    assert again.convention == "adapters"


def test_one_file_is_converted_alone(fork: Path) -> None:
    path = fork / "unet/diffusion_pytorch_model.bin"
    (part,) = open_originals(str(path), [path], []).parts
    assert (part.config["num_image_tokens"], part.config["image_embed_dim"]) == (4, 16)


def test_wrong_folders(fork: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not fit a UNet with 4 input channels"):
        Kandinsky3InpaintPipeline.from_pretrained(fork, backend=FakeBackend(), **NO_TEXTS)
    unet = write_fork(tmp_path) / "unet"
    tensors = original_unet()
    tensors["image_extra"] = tensors["image_norm.bias"]
    write_torch_file(unet / "diffusion_pytorch_model.bin", tensors)
    with pytest.raises(CheckpointError, match=r"1 tensors are none of Kandinsky 3 \(image_extra\)"):
        Kandinsky3Pipeline.from_pretrained(tmp_path, backend=FakeBackend(), **NO_TEXTS)
    (unet / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match="unet"):
        Kandinsky3Pipeline.from_pretrained(tmp_path, backend=FakeBackend(), **NO_TEXTS)


def test_other_models_load_no_converter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model of diffusers is what its index says, with no other layout asked."""
    index = {"_class_name": "Kandinsky3Pipeline", "unet": ["diffusers", "Kandinsky3UNet"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    monkeypatch.setattr("kandinsky_core.checkpoints.checkpoint.other_layouts", lambda: 1 / 0)
    assert Checkpoint.open(tmp_path).pipeline_class == "Kandinsky3Pipeline"


def test_adapters_that_do_not_fit(fork: Path) -> None:
    """Told by configs and names alone, before the weights of the UNet are copied."""
    pipe = Kandinsky3Pipeline.from_pretrained(fork, backend=FakeBackend(), **NO_TEXTS)
    for wrong in ({"subfolder": "models"}, {"weight_name": "ip.bin"}, {"commit": "main"}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            pipe.load_ip_adapter(fork, **wrong)
    for several in ([fork, fork], [], {"image_proj.weight": np.zeros(1)}):
        with pytest.raises(InvalidInputError, match="there is one IP-Adapter"):
            pipe.load_ip_adapter(several)
    for config, message in (
        ({**UNET, "num_image_tokens": 0}, "holds no IP-Adapter of Kandinsky 3"),
        ({**UNET, "cross_attention_dim": 64}, "for a UNet of other sizes"),
    ):
        source = ConfiguredComponent("unet", "", "Kandinsky3UNet", fork, settings=config)
        with pytest.raises(CheckpointError, match=message):
            with_ip_adapter(pipe.unet, source)
