"""What scripts written for diffusers call on networks, and pipelines that are copied or pickled."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import (
    AutoPipelineForText2Image,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from kandinsky_core.arrays import Array
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.models.attention_processor import AttnAddedKVProcessor2_0
from tests.support.backends import BACKENDS
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")

CONV = "conv_in.weight"


@pytest.fixture(scope="module", params=BACKENDS)
def pipe(request: pytest.FixtureRequest, shallow: Path) -> Any:
    """A decoder on each backend."""
    return KandinskyV22Pipeline.from_pretrained(shallow, backend=request.param)


def assert_same_weights(one: Any, other: Any) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


def test_the_three_lines_of_diffusers_guide(pipe: Any) -> None:
    unet = pipe.unet
    assert pipe.unet.to(memory_format=torch.channels_last) is unet
    pipe.unet = torch.compile(pipe.unet, mode="reduce-overhead", fullgraph=True)
    assert pipe.unet is unet
    pipe.unet.set_attn_processor(AttnAddedKVProcessor2_0())
    pipe.unet.set_attn_processor({"mid_block": AttnAddedKVProcessor2_0()})

    class OwnProcessor:
        """Another way to compute attention, which would change pictures."""

    with pytest.raises(InvalidInputError, match="OwnProcessor"):
        pipe.unet.set_attn_processor(OwnProcessor())


def test_weights_are_listed_without_being_read(pipe: Any) -> None:
    weights = dict(pipe.unet.named_parameters())
    state = pipe.unet.state_dict()
    assert {name: weight.shape for name, weight in weights.items()} == {
        name: array.shape for name, array in state.items()
    }
    first = weights[CONV]
    assert (first.shape, first.ndim, first.dtype) == ((64, 4, 3, 3), 4, torch.float32)
    np.testing.assert_array_equal(np.asarray(first), state[CONV])
    values = sum(array.size for array in state.values())
    assert pipe.unet.num_parameters() == values == sum(w.numel() for w in pipe.unet.parameters())
    assert pipe.unet.get_memory_footprint() == 4 * values
    assert not any(weight.requires_grad for weight in pipe.unet.requires_grad_(False).parameters())


@pytest.mark.slow(seconds=4)
def test_a_network_is_cast_as_in_pytorch(pipe: Any) -> None:
    movq = pipe.movq
    assert movq.to("cpu", torch.float16, True) is movq
    assert movq.dtype == torch.float16
    assert movq.half().cpu().float().eval().train(False).dtype == "float32"
    assert movq.device == torch.device("cpu")
    assert (movq.device.type, movq.device.index) == ("cpu", None)
    for wrong, match in (
        (lambda: movq.to("cdua"), "neither a device"),
        (lambda: movq.to(colour=1), "does not take colour"),
        (movq.train, "not trained here"),
        (lambda: movq(1), "call the pipeline"),
    ):
        with pytest.raises(InvalidInputError, match=match):
            wrong()


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))], ids=["copy", "pickle"]
)
def test_a_copy_has_weights_of_its_own_and_the_originals(pipe: Any, way: Any) -> None:
    before = pipe.unet.read_weights([CONV])
    pipe.unet.update_weights({CONV: before[CONV] * 2})  # as a LoRA does
    try:
        made = way(pipe.unet)
        assert_same_weights(made, pipe.unet)
        made.restore_weights()
        np.testing.assert_array_equal(made.read_weights([CONV])[CONV], before[CONV])
        np.testing.assert_array_equal(pipe.unet.read_weights([CONV])[CONV], before[CONV] * 2)
    finally:
        pipe.unet.restore_weights()
    assert (made.dtype, made.device, made.config) == ("float32", "cpu", pipe.unet.config)


@pytest.mark.slow(seconds=8)
@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_are_called_as_diffusers_networks(backend: str, shallow: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    pipe: Any = AutoPipelineForText2Image.from_pretrained(shallow, backend=backend)
    draw = torch.Generator().manual_seed(1)
    added = {"image_embeds": torch.randn(2, 96, generator=draw)}
    sample = torch.randn(2, 4, 16, 16, generator=draw)
    theirs = diffusers.UNet2DConditionModel.from_pretrained(shallow / "decoder" / "unet").float()
    with torch.no_grad():
        expected = theirs(sample, 500, None, added_cond_kwargs=added).sample
    made = pipe.unet(sample, torch.tensor(500), None, added_cond_kwargs=added).sample
    assert float((made - expected).norm() / expected.norm()) < allowed(f"{backend} unet")
    prior = diffusers.PriorTransformer.from_pretrained(shallow / "prior" / "prior").float()
    sample, embeds = torch.randn(2, 2, prior.config.embedding_dim, generator=draw)
    states = torch.randn(2, prior.config.num_embeddings, len(embeds[0]), generator=draw)
    mask = torch.arange(prior.config.num_embeddings)[None] < torch.tensor([[3], [9]])
    with torch.no_grad():
        expected = prior(sample, 7, embeds, states, mask).predicted_image_embedding
    made = pipe.prior_prior(sample, 7, embeds, states, mask).predicted_image_embedding
    assert float((made - expected).norm() / expected.norm()) < allowed(f"{backend} prior")
    assert pipe.unet.num_parameters() == theirs.num_parameters()
    assert pipe.prior_prior.num_parameters() == prior.num_parameters()


def embedding(pipeline: Any) -> Array:
    made: Array = pipeline("a red circle", seed=1, num_inference_steps=1).image_embeds
    return made


@pytest.mark.slow(seconds=12)
@pytest.mark.parametrize("backend", BACKENDS)
def test_offloaded_brought_back_and_pickled_pipelines_give_the_same(
    backend: str, shallow: Path
) -> None:
    pipe: Any = KandinskyV22PriorPipeline.from_pretrained(
        shallow, backend=backend, device_map="balanced", torch_dtype="auto", safety_checker=None
    )
    pipe.set_progress_bar_config(disable=True)
    expected = embedding(pipe)
    pipe.enable_sequential_cpu_offload()
    np.testing.assert_array_equal(embedding(pipe), expected)
    np.testing.assert_array_equal(embedding(pickle.loads(pickle.dumps(pipe))), expected)
    pipe.remove_all_hooks()
    np.testing.assert_array_equal(embedding(pipe), expected)
