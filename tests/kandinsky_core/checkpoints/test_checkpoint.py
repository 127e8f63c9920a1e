"""Folders in diffusers' layout, whole and damaged, through to the pipeline that reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kandinsky_core import AutoPipelineForText2Image, KandinskyV22Pipeline, get_backend
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component
from kandinsky_core.checkpoints.json_files import read_json
from kandinsky_core.errors import (
    CheckpointError,
    ConfigError,
    InvalidInputError,
    KandinskyError,
    ModelNotFoundError,
)
from tests.support.damage import edit_json, edit_tensors, truncate

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def decoder(model: Path) -> Path:
    return model / "decoder"


def refused(kind: type[KandinskyError], load: Callable[[], object]) -> str:
    """Return the message of the error, which must be of exactly this kind and one line long."""
    with pytest.raises(KandinskyError) as caught:
        load()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_index_names_components_with_their_classes(decoder: Path) -> None:
    edit_json(
        decoder / "model_index.json",
        safety_checker=[None, None],
        requires_safety_checker=False,
        _name_or_path="somewhere",
    )
    checkpoint = Checkpoint.open(decoder)
    assert checkpoint.pipeline_class == "KandinskyV22Pipeline"
    assert set(checkpoint.components) == {"unet", "movq", "scheduler"}
    assert checkpoint.components["movq"].class_name == "VQModel"
    assert checkpoint.components["movq"].library == "diffusers"


def test_folder_without_index_says_what_it_holds(decoder: Path) -> None:
    (decoder / "model_index.json").unlink()
    said = refused(ModelNotFoundError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert f"{decoder} is no model folder" in said
    assert "movq, scheduler, unet" in said


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"unet": ["diffusers"'])
def test_damaged_index_is_named(decoder: Path, content: str) -> None:
    (decoder / "model_index.json").write_text(content)
    said = refused(CheckpointError, lambda: AutoPipelineForText2Image.from_pretrained(decoder))
    assert str(decoder / "model_index.json") in said


def test_index_that_is_no_text_is_named(decoder: Path) -> None:
    (decoder / "model_index.json").write_bytes(b"\xff\xfe\x00")
    said = refused(CheckpointError, lambda: Checkpoint.open(decoder))
    assert "cannot be read as JSON" in said


def test_duplicate_keys_are_tolerated_and_the_last_wins(tmp_path: Path) -> None:
    path = tmp_path / "config.json"  # as the published 2.2 text encoder's
    path.write_text('{"architectures": ["A"], "_name_or_path": "x", "architectures": null}')
    assert read_json(path) == {"architectures": None, "_name_or_path": "x"}


def test_all_absent_components_stand_in_one_message(decoder: Path) -> None:
    shutil.rmtree(decoder / "unet")
    shutil.rmtree(decoder / "movq")
    said = refused(CheckpointError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "lacks the folders of unet, movq" in said


def test_model_of_another_pipeline_is_refused(model: Path) -> None:
    said = refused(CheckpointError, lambda: KandinskyV22Pipeline.from_pretrained(model / "prior"))
    assert "is a KandinskyV22PriorPipeline without unet, movq" in said
    said = refused(
        CheckpointError, lambda: AutoPipelineForText2Image.from_pretrained(model / "prior")
    )
    assert "it is a prior: give its decoder instead" in said


def test_unsupported_class_is_named(decoder: Path) -> None:
    edit_json(decoder / "model_index.json", unet=["diffusers", "UNet3DConditionModel"])
    said = refused(ConfigError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "component 'unet' is a UNet3DConditionModel" in said


def test_component_without_config(decoder: Path) -> None:
    (decoder / "unet" / "config.json").unlink()
    said = refused(CheckpointError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "component 'unet' has no config file" in said


@pytest.mark.parametrize("component", ["unet", "movq"])
def test_unknown_config_field_is_named_before_weights_are_read(
    decoder: Path, component: str
) -> None:
    edit_json(decoder / component / "config.json", colour_of_the_sky="blue")
    for part in ("unet", "movq"):
        truncate(decoder / part / "diffusion_pytorch_model.safetensors")
    said = refused(ConfigError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "colour_of_the_sky" in said


def test_unknown_scheduler_field_and_class_are_named(decoder: Path) -> None:
    config = decoder / "scheduler" / "scheduler_config.json"
    edit_json(config, colour_of_the_sky="blue")
    said = refused(ConfigError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "colour_of_the_sky" in said
    edit_json(config, _class_name="ScoreSdeVeScheduler")
    said = refused(ConfigError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "'ScoreSdeVeScheduler' is not supported" in said


def test_truncated_weights_are_named(decoder: Path) -> None:
    truncate(decoder / UNET)
    said = refused(CheckpointError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert f"{decoder / UNET} cannot be read as safetensors" in said


def test_all_misfits_stand_in_one_message(decoder: Path) -> None:
    tensors = load_file(decoder / UNET)
    lost, *_, bent, counted = sorted(tensors)
    edit_tensors(
        decoder / UNET,
        drop=(lost,),
        **{
            bent: np.zeros((3, 5, 7), np.float16),
            counted: np.zeros(tensors[counted].shape, np.int64),
            "stray.weight": np.zeros(1, np.float16),
        },
    )
    said = refused(CheckpointError, lambda: KandinskyV22Pipeline.from_pretrained(decoder))
    assert "UNet2DConditionModel: the weights do not fit the config" in said
    assert f"1 missing ({lost})" in said
    assert "1 unexpected (stray.weight)" in said
    assert f"1 of another shape ({bent} [3,5,7] for" in said
    assert f"1 not floating point ({counted} I64)" in said


def test_bfloat16_shards_of_a_variant_are_read_exactly(model: Path) -> None:
    folder = model / "prior" / "text_encoder"
    plain = folder / "model.safetensors"
    rounded = {name: array.astype(ml_dtypes.bfloat16) for name, array in load_file(plain).items()}
    names = sorted(rounded)
    shards = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, own in shards.items():
        save_file({name: rounded[name] for name in own}, folder / file)
    table = {name: file for file, own in shards.items() for name in own}
    index = folder / "model.safetensors.index.bf16.json"
    index.write_text(json.dumps({"weight_map": table}))
    save_file({name: array.astype(np.float32) for name, array in rounded.items()}, plain)
    length = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    ids = np.arange(length, dtype=np.int32)[None]
    embeds = []
    for variant in (None, "bf16"):
        source = Checkpoint.open(model / "prior", variant=variant).require(["text_encoder"])
        encoder: Any = get_backend("jax").load(source["text_encoder"], "float32")
        embeds.append(encoder.encode(ids))
    np.testing.assert_array_equal(embeds[0][0], embeds[1][0])


def test_wrong_kinds_of_names_and_options(decoder: Path) -> None:
    load: Any = AutoPipelineForText2Image.from_pretrained
    for name in (None, 7, b"shapes", ["shapes"]):
        said = refused(InvalidInputError, partial(load, name))
        assert "give an embedded model's name (shapes), a folder, or a hub id" in said
    said = refused(InvalidInputError, lambda: load(decoder, use_safetensors=False))
    assert "pickled" in said
    said = refused(InvalidInputError, lambda: load(decoder, colour="blue"))
    assert "does not take colour" in said
    said = refused(InvalidInputError, lambda: load(decoder, dtype="float64"))
    assert "float32, bfloat16, float16" in said
    said = refused(
        InvalidInputError, lambda: load(decoder, dtype="float32", torch_dtype=np.float16)
    )
    assert "several dtypes" in said


def test_component_of_a_folder(decoder: Path) -> None:
    component = Checkpoint.open(decoder).require(["movq"])["movq"]
    assert isinstance(component, Component)
    assert component.config["_class_name"] == "VQModel"
    assert "quantize.embedding.weight" in set(component.tensors().names())
