"""The published 2.1 configs build networks of the published names, shapes and counts.

On MindSpore see `test_convert_mindspore.py`, which does this for every published component.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest

from kandinsky_core.configs import MultilingualCLIPConfig
from kandinsky_core.errors import ConfigError
from kandinsky_core.schedulers import DDIMScheduler, DDPMScheduler, scheduler_from_config
from tests.kandinsky_converters.test_manifests import KNOWN, used_by_networks
from tests.support.jax_networks import expected_shapes
from tests.support.published import published_config, published_json

# config -> manifest, tensors that networks use, their values
NETWORKS = {
    "2.1/unet": ("kandinsky-2-1/unet", 726, 1_228_661_768),
    "2.1/unet_inpaint": ("kandinsky-2-1-inpaint/unet", 726, 1_228_679_048),
    "2.1/multilingual_text_encoder": ("kandinsky-2-1/text_encoder", 391, 560_677_632 - 1_049_600),
    "movq": ("kandinsky-2-1/movq", 430, 67_832_495 - 16384 * 4),
    "2.1/prior": ("kandinsky-2-1-prior/prior", 338, 1_022_030_080),
    "2.1/text_encoder": ("kandinsky-2-1-prior/text_encoder", 197, 123_650_304),
    "2.1/image_encoder": ("kandinsky-2-1-prior/image_encoder", 392, 303_966_208),
}


@cache
def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    return expected_shapes(published_config(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_names_shapes_and_counts(name: str) -> None:
    manifest, tensors, parameters = NETWORKS[name]
    shapes = shapes_of(name)
    assert shapes == used_by_networks(KNOWN[manifest])
    assert len(shapes) == tensors
    assert sum(math.prod(shape) for shape in shapes.values()) == parameters


@pytest.mark.parametrize(
    ("name", "tensor", "shape"),
    [
        ("2.1/unet", "encoder_hid_proj.image_embeds.weight", (7680, 768)),
        ("2.1/unet", "encoder_hid_proj.text_proj.weight", (768, 1024)),
        ("2.1/unet", "add_embedding.text_proj.weight", (1536, 768)),
        ("2.1/unet", "add_embedding.text_norm.bias", (1536,)),
        ("2.1/unet", "add_embedding.image_proj.weight", (1536, 768)),
        ("2.1/unet_inpaint", "conv_in.weight", (384, 9, 3, 3)),
        (
            "2.1/multilingual_text_encoder",
            "transformer.embeddings.word_embeddings.weight",
            (250002, 1024),
        ),
        ("2.1/multilingual_text_encoder", "LinearTransformation.weight", (768, 1024)),
        ("2.1/prior", "clip_std", (1, 768)),
    ],
)
def test_known_shapes(name: str, tensor: str, shape: tuple[int, ...]) -> None:
    assert shapes_of(name)[tensor] == shape


@pytest.mark.parametrize(("name", "manifest"), [(name, NETWORKS[name][0]) for name in NETWORKS])
def test_the_configs_are_those_of_the_manifests(name: str, manifest: str) -> None:
    published, known = published_json(name), dict(KNOWN[manifest].config)
    assert {key: published[key] for key in known if key in published} == known


def test_clip_of_2_1_has_quick_gelu_and_pools_at_the_greatest_id() -> None:
    for name in ("text_encoder", "image_encoder"):
        config: Any = published_config(f"2.1/{name}")
        of_2_2: Any = published_config(name)
        assert (config.hidden_act, of_2_2.hidden_act) == ("quick_gelu", "gelu")
    text: Any = published_config("2.1/text_encoder")
    assert text.eos_token_id == 2


def test_the_multilingual_config_goes_by_either_name_of_its_sizes() -> None:
    """The original repository's names, and those that diffusers writes; 1e-5 where it is silent."""
    original = {"imageDimSize": 640, "transformerDimSize": 1024, "modelBase": "xlm-roberta-large"}
    config = MultilingualCLIPConfig.from_dict(original)
    assert (config.numDims, config.transformerDimensions) == (640, 1024)
    assert config.layer_norm_eps == 1e-5
    both = MultilingualCLIPConfig.from_dict(original | {"numDims": 768})
    assert both.numDims == 768
    with pytest.raises(ConfigError, match="transformerDimensions is 512; allowed: hidden_size"):
        MultilingualCLIPConfig.from_dict({"transformerDimensions": 512})
    with pytest.raises(ConfigError, match="num_attention_heads is 15; allowed: a divisor"):
        MultilingualCLIPConfig.from_dict({"num_attention_heads": 15})


def test_the_schedulers_of_2_1() -> None:
    ddim = scheduler_from_config(published_json("2.1/scheduler"))
    assert type(ddim) is DDIMScheduler
    assert ddim.schedule(100).timesteps[0] == 991
    assert not ddim.config.clip_sample
    ddpm = scheduler_from_config(published_json("2.1/ddpm_scheduler"))
    assert type(ddpm) is DDPMScheduler
    rule = ddpm.schedule(50).rule
    assert rule.learned_variance
    assert rule.threshold is not None
