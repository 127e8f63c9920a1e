"""Calls that place weights and divide pictures, and the arguments of diffusers' from_pretrained."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kandinsky_core import AutoPipelineForText2Image, DiffusionPipeline
from kandinsky_core.errors import InvalidInputError, ModelNotFoundError
from kandinsky_core.pipelines.shared.foreign_options import (
    ACCEPTED_OPTIONS,
    REFUSED_OPTIONS,
    known_options,
)
from tests.support.fakes import combined_pipeline, decoder_pipeline, emb2emb_pipeline


def offloaded(pipe: Any) -> set[str]:
    return {name for name, network in pipe.networks.items() if network.offloaded}


def test_offloading_takes_all_networks_and_is_taken_back() -> None:
    pipe = combined_pipeline()
    pipe.enable_sequential_cpu_offload(1)
    assert offloaded(pipe) == set(pipe.networks)
    assert set(pipe.hf_device_map.values()) == {"gpu:1"}
    pipe.reset_device_map()
    assert offloaded(pipe) == set()
    pipe.enable_group_offload("cuda:0", "cpu", "leaf_level", exclude_modules="movq")
    assert offloaded(pipe) == set(pipe.networks) - {"movq"}
    assert set(pipe.hf_device_map.values()) == {"cuda:0"}
    pipe.remove_all_hooks()
    pipe.enable_model_cpu_offload(device="tpu")
    assert set(pipe.hf_device_map.values()) == {"tpu"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"offload_device": "cuda"}, "give 'cpu'"),
        ({"offload_to_disk_path": "x"}, "leave it out"),
        ({"exclude_modules": ["vae"]}, "give names among"),
    ],
)
def test_group_offload_refuses_what_it_cannot_do(options: Any, match: str) -> None:
    pipe = decoder_pipeline()
    with pytest.raises(InvalidInputError, match=match):
        pipe.enable_group_offload("cpu", **options)
    assert offloaded(pipe) == set()


def test_vae_tiling_is_that_of_movq() -> None:
    pipe = combined_pipeline()
    pipe.enable_vae_tiling(64, overlap=16)
    tiling = pipe.movq.tiling
    assert (tiling.size, tiling.overlap, tiling.factor) == (16, 4, 4)
    pipe.disable_vae_tiling()
    assert pipe.movq.tiling is None
    with pytest.raises(InvalidInputError, match="has no MoVQ"):
        emb2emb_pipeline().enable_vae_tiling()


def test_arguments_that_change_nothing_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kandinsky_core")
    nothing = dict.fromkeys(ACCEPTED_OPTIONS, True) | dict.fromkeys(REFUSED_OPTIONS, None)
    assert known_options({**nothing, "revision": "main"}) == {"revision": "main"}
    assert len(caplog.records) == len(ACCEPTED_OPTIONS) + len(REFUSED_OPTIONS)
    assert "weights are always streamed" in caplog.text


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_arguments_that_would_change_results_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"\({name}=\.\.\.\): ") as caught:
        known_options({name: "x"})
    assert REFUSED_OPTIONS[name] in str(caught.value)


@pytest.mark.parametrize("made", [AutoPipelineForText2Image, DiffusionPipeline])
@pytest.mark.parametrize("name", ["pretrained_model_name_or_path", "pretrained_model_or_path"])
def test_the_model_is_named_as_in_diffusers(made: Any, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no model '/nowhere'"):
        made.from_pretrained(**{name: "/nowhere"})
    with pytest.raises(InvalidInputError, match="give either model"):
        made.from_pretrained("shapes", **{name: "/nowhere"})


@pytest.mark.parametrize(
    ("device_map", "device"),
    [
        ("auto", None),
        ("balanced", None),
        ("cuda", "cuda"),
        (0, "gpu:0"),
        ({"": 1, "unet": "cpu"}, {"default": "gpu:1", "unet": "cpu"}),
    ],
)
def test_device_map_becomes_device(device_map: Any, device: Any) -> None:
    assert known_options({"device": None, "device_map": device_map}) == {"device": device}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device_map": {"unet": "disk"}}, "not kept on a disk"),
        ({"device_map": "cpu", "device": "cpu"}, "give either"),
    ],
)
def test_other_device_maps_are_refused(options: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        known_options(options)
