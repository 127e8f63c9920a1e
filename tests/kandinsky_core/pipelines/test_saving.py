"""Pipelines that are saved and loaded again, with a backend that only holds weights."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky_core import (
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    CLIPTokenizer,
    DiffusionPipeline,
    Kandinsky3Pipeline,
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22Img2ImgPipeline,
    KandinskyV22Pipeline,
)
from kandinsky_core.checkpoints import saved_network
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.configs.networks import CODEBOOK
from kandinsky_core.errors import CheckpointError, InvalidInputError, ModelNotFoundError
from tests.support.fakes import decoder_pipeline
from tests.support.holding_backend import HoldingBackend, HoldingNetwork
from tests.support.kandinsky3_folder import write_kandinsky3

BACKEND = HoldingBackend()


def load(pipeline_class: Any, model: str | Path = "shapes", **options: Any) -> Any:
    return pipeline_class.from_pretrained(model, backend=BACKEND, **options)


def weights(pipe: Any) -> dict[str, dict[str, bytes]]:
    return {
        name: {key: array.tobytes() for key, array in network.weights.items()}
        for name, network in pipe.networks.items()
        if isinstance(network, HoldingNetwork)
    }


@pytest.fixture(scope="module")
def combined() -> Any:
    """Both halves of the embedded model."""
    return load(AutoPipelineForText2Image)


@pytest.fixture(scope="module")
def saved(combined: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that they were saved in."""
    folder = tmp_path_factory.mktemp("saved") / "both"
    combined.save_pretrained(folder)
    return folder


def test_both_halves_are_saved_in_one_folder_as_diffusers_does(combined: Any, saved: Path) -> None:
    index = json.loads((saved / "model_index.json").read_text())
    assert index.pop("_class_name") == "KandinskyV22CombinedPipeline"
    assert index.pop("_diffusers_version")
    assert index["prior_prior"] == ["diffusers", "PriorTransformer"]
    assert index["prior_text_encoder"] == ["transformers", "CLIPTextModelWithProjection"]
    assert index["prior_tokenizer"] == ["transformers", "CLIPTokenizer"]
    assert index["scheduler"] == ["diffusers", "DDPMScheduler"]
    assert {path.name for path in saved.iterdir()} == {*index, "model_index.json"}
    assert set(index) == set(combined.component_names)


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        (DiffusionPipeline, KandinskyV22CombinedPipeline),
        (AutoPipelineForImage2Image, KandinskyV22Img2ImgCombinedPipeline),
        (KandinskyV22Pipeline, KandinskyV22Pipeline),
    ],
)
def test_the_folder_loads_again_bit_for_bit(
    combined: Any, saved: Path, wanted: Any, made: Any
) -> None:
    again = load(wanted, saved)
    assert type(again) is made
    first = weights(combined)
    assert weights(again) == {name: first[name] for name in again.networks}
    assert again.scheduler == combined.scheduler
    assert again.origin["model"] == str(saved)
    if hasattr(again, "prior_tokenizer"):
        ids = [pipe.prior_tokenizer(["a red circle"])[0] for pipe in (combined, again)]
        assert np.array_equal(*ids)
        assert again.prior_image_processor == combined.prior_image_processor
        assert again.prior_scheduler == combined.prior_scheduler


def test_the_files_hold_what_no_pipeline_uses_too(saved: Path) -> None:
    name = "movq/diffusion_pytorch_model.safetensors"
    source = EMBEDDED["shapes"] / "decoder"
    published, copy = (load_file(folder / name) for folder in (source, saved))
    assert published.keys() == copy.keys()
    assert CODEBOOK in copy
    assert all(np.array_equal(published[key].astype(np.float32), copy[key]) for key in copy)
    configs = [json.loads((at / "movq/config.json").read_text()) for at in (source, saved)]
    assert configs[0] == configs[1]


def test_dtype_variant_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_network, "_BATCH", 200_000)
    pipe = load(KandinskyV22Pipeline, dtype="bfloat16")
    pipe.save_pretrained(tmp_path, variant="bf16", max_shard_size="2MB")
    files = sorted(path.name for path in (tmp_path / "unet").iterdir())
    assert files[1].startswith("diffusion_pytorch_model.bf16-00001-of-")
    assert files[-1] == "diffusion_pytorch_model.safetensors.index.bf16.json"
    again = load(KandinskyV22Pipeline, tmp_path, dtype="bfloat16", variant="bf16")
    assert weights(again) == weights(pipe)
    largest = max(map(len, weights(pipe)["unet"].values()))
    assert max(pipe.unet.batches) < 200_000 + largest < sum(pipe.unet.batches)
    with pytest.raises(CheckpointError, match="no weights for no variant"):
        load(KandinskyV22Pipeline, tmp_path)


def test_a_merged_lora_stays_in_what_is_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = load(KandinskyV22Pipeline)
    name = "conv_in.bias"
    pipe.unet.update_weights({name: np.full_like(pipe.unet.weights[name], 7)})
    pipe.origin["lora"] = "x.safetensors:1"
    with caplog.at_level(logging.INFO, "kandinsky_core"):
        pipe.save_pretrained(tmp_path)
    assert "the LoRA x.safetensors:1 is merged into what is saved" in caplog.text
    assert (load(KandinskyV22Pipeline, tmp_path).unet.weights[name] == 7).all()


def test_saving_over_its_own_folder_keeps_the_weights(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "model")
    pipe = load(KandinskyV22Pipeline, tmp_path / "model")
    before = weights(pipe)
    pipe.save_pretrained(tmp_path / "model", max_shard_size="3MB")
    assert weights(load(KandinskyV22Pipeline, tmp_path / "model")) == before


def test_kandinsky3_with_its_null_embedding_and_without_a_text_encoder(tmp_path: Path) -> None:
    model = write_kandinsky3(tmp_path / "model")
    pipe = load(Kandinsky3Pipeline, model, text_encoder=None, tokenizer=None)
    width = pipe.unet.config.cross_attention_dim
    pipe.null_embedding = np.arange(width, dtype=np.float16)[None]
    pipe.save_pretrained(tmp_path / "saved")
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert index["text_encoder"] == index["tokenizer"] == [None, None]
    again = load(Kandinsky3Pipeline, tmp_path / "saved", unet=pipe.unet)
    assert again.text_encoder is again.tokenizer is None
    # The authors' files have no codebook, and diffusers moves no network that lacks a tensor.
    found = load_file(tmp_path / "saved" / "movq" / "diffusion_pytorch_model.safetensors")
    config = pipe.movq.config
    assert found[CODEBOOK].shape == (config.num_vq_embeddings, config.latent_channels)
    assert np.array_equal(np.ravel(again.null_embedding), np.arange(width))


def test_a_decoder_of_another_task_is_found_by_its_class(combined: Any, tmp_path: Path) -> None:
    load(KandinskyV22Img2ImgPipeline).save_pretrained(tmp_path / "decoder")
    assert type(load(DiffusionPipeline, tmp_path / "decoder")) is KandinskyV22Img2ImgPipeline
    prior = EMBEDDED["shapes"] / "prior"
    pipe = load(AutoPipelineForText2Image, tmp_path / "decoder", prior=prior)
    assert weights(pipe) == weights(combined)
    with pytest.raises(ModelNotFoundError, match="names no prior"):
        load(AutoPipelineForText2Image, tmp_path / "decoder")


def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    saved: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    with pytest.raises(InvalidInputError, match="component 'unet' is a FakeDenoiser"):
        decoder_pipeline().save_pretrained(target)
    pipe = load(KandinskyV22Pipeline)
    for arguments in ({"variant": "a/b"}, {"max_shard_size": "x"}, {"safe_serialization": False}):
        with pytest.raises(InvalidInputError):
            pipe.save_pretrained(target, **arguments)
    folder = shutil.copytree(saved / "prior_tokenizer", tmp_path / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    (folder / "merges.txt").write_text("#version\n")
    with pytest.raises(CheckpointError, match=r"merges.txt has gone or changed"):
        tokenizer.save_pretrained(target)
    assert not target.exists()
