"""Networks that are loaded by their own class and handed to a pipeline."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from kandinsky_core import (
    AutoPipelineForText2Image,
    CLIPImageProcessor,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    UNet2DConditionModel,
    VQModel,
    public_names,
)
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import (
    CheckpointError,
    ConfigError,
    InvalidInputError,
    ModelNotFoundError,
)
from tests.support.fake_hub import FakeHub
from tests.support.holding_backend import HoldingBackend, HoldingNetwork

BACKEND = HoldingBackend()
SHAPES = EMBEDDED["shapes"]


def load(loaded: Any, model: str | Path = "shapes", **options: Any) -> Any:
    return loaded.from_pretrained(model, backend=BACKEND, **options)


@pytest.fixture(scope="module")
def unet() -> Any:
    """The UNet of the embedded model."""
    return load(UNet2DConditionModel, subfolder="unet")


@pytest.fixture(scope="module")
def prior() -> Any:
    """The prior of the embedded model."""
    return load(PriorTransformer, subfolder="prior")


def test_every_network_has_a_class_of_its_name() -> None:
    for name in NETWORKS:
        assert public_names.public(name).__name__ == name


def test_a_network_is_an_instance_of_its_class_alone(unet: Any, prior: Any) -> None:
    assert isinstance(unet, UNet2DConditionModel)
    assert not isinstance(unet, VQModel)
    assert isinstance(prior, PriorTransformer)
    assert not isinstance(None, UNet2DConditionModel)
    with pytest.raises(InvalidInputError, match=r"call VQModel\.from_pretrained"):
        VQModel()


def test_ready_networks_are_used_by_every_pipeline(unet: Any, prior: Any) -> None:
    decoder = load(KandinskyV22Pipeline, unet=unet)
    assert decoder.unet is unet
    pipe = load(AutoPipelineForText2Image, unet=unet, prior_prior=prior)
    assert pipe.unet is unet
    assert pipe.prior_pipe.prior is prior
    encoder = load(CLIPVisionModelWithProjection, subfolder="image_encoder")
    halves = load(KandinskyV22PriorPipeline, image_encoder=encoder, prior=prior)
    assert halves.image_encoder is encoder


def test_the_folder_of_a_network_itself_and_its_dtype(unet: Any) -> None:
    other = load(UNet2DConditionModel, SHAPES / "decoder" / "unet", torch_dtype="float16")
    assert other.dtype == "float16"
    assert unet.dtype == "float32"
    assert load(VQModel, subfolder="movq", torch_dtype="float16").dtype == "float32"


def test_networks_that_do_not_belong_are_refused(prior: Any, unet: Any) -> None:
    with pytest.raises(InvalidInputError, match="unet is a PriorTransformer: pass it as prior"):
        load(KandinskyV22Pipeline, unet=prior)
    foreign = HoldingNetwork(unet.config, unet.weights, "float32")
    foreign.backend_name = "other"
    for pipeline in (KandinskyV22Pipeline, AutoPipelineForText2Image):
        with pytest.raises(InvalidInputError, match=r"of the other backend, .* loaded with fake"):
            load(pipeline, unet=foreign)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="does not take in_channels"):
        load(UNet2DConditionModel, subfolder="unet", in_channels=9)
    with pytest.raises(InvalidInputError, match="can run code"):
        load(UNet2DConditionModel, subfolder="unet", use_safetensors=False)
    with pytest.raises(ModelNotFoundError, match=r"no folder 'uent' \(it has: .*unet"):
        load(UNet2DConditionModel, subfolder="uent")
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        load(UNet2DConditionModel, subfolder="../prior")
    with pytest.raises(ConfigError, match="UNet2DConditionModel: config field"):
        load(UNet2DConditionModel, subfolder="movq")
    with pytest.raises(CheckpointError, match="variant 'fp16'"):
        load(UNet2DConditionModel, subfolder="unet", variant="fp16")


def test_parts_come_from_a_hub(hub: FakeHub, tmp_path: Path, unet: Any) -> None:
    hub.add("owner/decoder", SHAPES / "decoder")
    hub.add("owner/unet", SHAPES / "decoder" / "unet")
    hub.add("owner/prior", SHAPES / "prior")
    for name, subfolder in (("owner/decoder", "unet"), ("owner/unet", None)):
        options = {"subfolder": subfolder, "cache_dir": tmp_path}
        found = load(UNet2DConditionModel, name, **options)
        assert found.weights.keys() == unet.weights.keys()
    assert not any(file.startswith("movq") for file in hub.downloads("owner/decoder"))
    CLIPTokenizer.from_pretrained("owner/prior", subfolder="tokenizer", cache_dir=tmp_path)
    processor = CLIPImageProcessor.from_pretrained(
        "owner/prior", subfolder="image_processor", cache_dir=tmp_path
    )
    assert processor["do_center_crop"] is True
    assert not any("model.safetensors" in file for file in hub.downloads("owner/prior"))


@pytest.mark.parametrize("place", ["folder", "hub"])
def test_networks_without_the_variant_load_their_plain_weights(
    hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    model = tmp_path / "model"
    pipe = load(KandinskyV22Pipeline)
    pipe.save_pretrained(model)
    pipe.unet.save_pretrained(model / "unet", variant="fp16")
    (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"unwanted")
    hub.add("owner/model", model)
    name, options = str(model), {}
    if place == "hub":
        name, options = "owner/model", {"cache_dir": tmp_path / "cache"}
    with caplog.at_level(logging.WARNING, "kandinsky_core"):
        again = load(KandinskyV22Pipeline, name, variant="fp16", **options)
    assert again.movq.weights.keys() == pipe.movq.weights.keys()
    assert "no weights for variant 'fp16' in movq: those for no variant are loaded" in caplog.text
    with pytest.raises(CheckpointError, match=r"component 'unet': .* variant 'bf16'"):
        load(KandinskyV22Pipeline, name, variant="bf16", **options)
