"""The published checkpoints, known tensor by tensor, and both backends' networks against them.

The manifests are made by `tools/manifests.py`, which checks them against counts, header lengths and
sizes of the published files; here the same facts are checked again, without PyTorch.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.layouts import native_name
from kandinsky_converters.layouts.leaf_rules import JAX_RULES
from kandinsky_converters.manifests import Manifest, manifests, recognise
from kandinsky_core.configs import NETWORKS, NetworkConfig
from kandinsky_core.configs.networks import unused_tensors
from kandinsky_core.errors import ConfigError
from tests.support.dict_tensors import DictTensors
from tests.support.published import published_json

KNOWN = {manifest.name: manifest for manifest in manifests()}

# Stored tensors (integers too), floating-point values; of the published files.
FACTS = {
    # Our names: the 604 tensors of the files hold queries, keys and values in one.
    "Kandinsky_2.0/unet": (604 + 22 * 6, 1_223_352_584),
    "Kandinsky_2.0/unet_inpainting": (604 + 22 * 6, 1_223_369_864),
    "Kandinsky_2.0/vae": (248, 83_653_863),
    "Kandinsky_2.0/text_encoder1": (394, 560_546_432),
    "Kandinsky_2.0/text_encoder2": (75, 146_940_608),
    "kandinsky-2-1/unet": (726, 1_228_661_768),
    "kandinsky-2-1-inpaint/unet": (726, 1_228_679_048),
    "kandinsky-2-1/movq": (431, 67_832_495),
    "kandinsky-2-1/text_encoder": (394, 560_677_632),
    "kandinsky-2-1-prior/prior": (338, 1_022_030_080),
    "kandinsky-2-1-prior/text_encoder": (198, 123_650_304),
    "kandinsky-2-1-prior/image_encoder": (393, 303_966_208),
    "kandinsky-2-2-decoder/unet": (724, 1_253_057_288),
    "kandinsky-2-2-decoder-inpaint/unet": (724, 1_253_074_568),
    "kandinsky-2-2-controlnet-depth/unet": (740, 1_253_429_212),
    "kandinsky-2-2-decoder/movq": (431, 67_832_495),
    "kandinsky-2-2-prior/prior": (338, 1_026_225_920),
    "kandinsky-2-2-prior/text_encoder": (518, 694_659_840),
    "kandinsky-2-2-prior/image_encoder": (777, 1_844_907_264),
    "kandinsky-3/unet": (1071, 3_055_348_228),
    "kandinsky3_ip_adapter/unet": (1071 + 112, 3_434_340_100),
    "kandinsky-3/movq": (431, 270_603_567 + 16384 * 4),
    "kandinsky-3/text_encoder": (291, 8_721_797_632),
    "kandinsky3_controlnet_v2/unet_controlnet": (418, 469_613_584),
    "kandinsky3_controlnet_hed/unet": (1087, 3_056_139_668),
    # 1068 and three of the projection, which the original has in a file of its own
    "KandiSuperRes/unet": (496, 413_205_251),
    "Kandinsky3.1/kandinsky3_inpainting": (1068 + 3, 3_038_571_460 + 16_785_408),
}


def shapes_of(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """What a network holds of a checkpoint: all but integers and mCLIP's pooler."""
    return {
        name: shape
        for name, (dtype, shape) in manifest.tensors.items()
        if dtype != "I64" and ".pooler." not in name
    }


def used_by_networks(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """The same without what no pipeline uses: MoVQ's codebook."""
    unused = unused_tensors(manifest.class_name)
    return {name: shape for name, shape in shapes_of(manifest).items() if name not in unused}


def test_every_published_component_has_a_manifest() -> None:
    assert set(KNOWN) == set(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_counts(name: str) -> None:
    manifest = KNOWN[name]
    values = [math.prod(shape) for dtype, shape in manifest.tensors.values() if dtype != "I64"]
    assert (len(manifest.tensors), sum(values)) == FACTS[name]
    assert manifest.parameters == sum(values)
    assert all(len(digest) == 64 for digest in manifest.files.values())


def test_dtypes_as_stored() -> None:
    dtypes = {name: {dtype for dtype, _ in entry.tensors.values()} for name, entry in KNOWN.items()}
    assert dtypes["kandinsky-2-2-prior/image_encoder"] == {"F16", "I64"}
    assert dtypes["kandinsky-2-2-prior/text_encoder"] == {"F32", "I64"}
    assert dtypes["kandinsky-2-1/unet"] == {"F32"}
    half, single = (
        sum(
            math.prod(shape)
            for dtype, shape in KNOWN["Kandinsky_2.0/unet"].tensors.values()
            if dtype == kind
        )
        for kind in ("F16", "F32")
    )
    assert (half, single) == (1_110_370_560, 112_982_024)
    # 2.147 G values of T5 are kept in float32, which makes 21.74 GB.
    text_encoder = KNOWN["kandinsky-3/text_encoder"].tensors.values()
    sizes = {"F16": 2, "F32": 4}
    assert sum(sizes[dtype] * math.prod(shape) for dtype, shape in text_encoder) == pytest.approx(
        21.74e9, rel=1e-3
    )


@pytest.mark.parametrize("name", KNOWN)
def test_the_inventory_of_a_config_is_the_manifest(name: str) -> None:
    manifest = KNOWN[name]
    assert expected_tensors(manifest.class_name, manifest.config) == shapes_of(manifest)


def test_a_config_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="UNetKandi3: no such network can be converted"):
        expected_tensors("UNetKandi3", {})
    for class_name, change in (
        ("Kandinsky3UNet", {"block_out_channels": [8] * 5}),
        ("T5EncoderModel", {"feed_forward_proj": "relu"}),
        ("T5EncoderModel", {"num_layers": 1 << 40}),  # whose names alone would fill the memory
        ("UNet2DConditionModel", {"block_out_channels": 3}),
        ("UNet2DConditionModel", {"down_block_types": [1]}),
    ):
        config = next(entry.config for entry in KNOWN.values() if entry.class_name == class_name)
        with pytest.raises(ConfigError, match=r"config field|does not describe this network"):
            expected_tensors(class_name, {**config, **change})
    with pytest.raises(ConfigError, match="does not describe this network"):
        expected_tensors("UNet2DConditionModel", {})
    changed = published_json("unet") | {"addition_embed_type": "text"}
    with pytest.raises(ConfigError, match="addition_embed_type is 'text'"):
        expected_tensors("UNet2DConditionModel", changed)


@pytest.mark.parametrize("name", ["unet", "unet_inpaint", "prior", "movq"])
def test_configs_equal_those_of_the_networks_tests(name: str) -> None:
    published = published_json(name)
    names = {"unet": "kandinsky-2-2-decoder/unet", "movq": "kandinsky-2-2-decoder/movq"}
    names |= {"unet_inpaint": "kandinsky-2-2-decoder-inpaint/unet"}
    manifest = KNOWN[names.get(name, "kandinsky-2-2-prior/prior")]
    common = set(published) & set(manifest.config)
    assert {key: published[key] for key in common} == {key: manifest.config[key] for key in common}
    assert not set(manifest.config) - set(published)


def test_recognised_by_names_and_shapes() -> None:
    manifest = KNOWN["kandinsky-2-1-prior/text_encoder"]
    # Broadcast: the values take no memory.
    given = {
        name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes_of(manifest).items()
    }
    assert recognise(manifest.class_name, DictTensors(given)) == manifest.name
    assert recognise("PriorTransformer", DictTensors(given)) is None
    given.popitem()
    assert recognise(manifest.class_name, DictTensors(given)) is None


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow(seconds=3) if "ip_adapter" in name else ())
        for name in KNOWN
    ],
)
def test_full_size_coverage_on_jax(name: str) -> None:
    """Native names and shapes are those of the network's own attributes, none over or missing.

    And the backend, which loads without building the network, expects them in the same order.
    """
    pytest.importorskip("jax")
    from kandinsky_jax.weights.network_form import abstract_network, native_shapes
    from tests.support.jax_networks import form_of

    manifest = KNOWN[name]
    form = form_of(config_of(manifest))
    found = native_shapes(abstract_network(form.network_class(), form.config, dtype="float32"))
    expected = {}
    for tensor, shape in used_by_networks(manifest).items():
        native = native_name("jax", tensor, len(shape))
        rule = JAX_RULES.rule_for(native.rpartition(".")[2], len(shape))
        expected[native] = shape if rule.axes is None else tuple(shape[axis] for axis in rule.axes)
    assert found == expected
    assert list(form.shapes().items()) == list(found.items())


def config_of(manifest: Manifest) -> NetworkConfig:
    """As a backend would read it."""
    return NETWORKS[manifest.class_name].config.from_dict(dict(manifest.config))
