"""Which weights are kept in 8 bits, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from kandinsky_converters.manifests import manifests
from kandinsky_core import KandinskyV22Pipeline, KandinskyV22PriorPipeline, UNet2DConditionModel
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.quantization import (
    in_eight_bits,
    products_in_eight_bits,
    quantization_facts,
    quantized_components,
    refuse_if_quantized,
)
from tests.support.fake_backend import FakeBackend

# Shares of the numbers that are in products.
PRODUCTS = {
    "kandinsky-2-1/unet": 0.232,
    "kandinsky-2-2-decoder/unet": 0.247,
    "kandinsky-3/text_encoder": 0.985,
    "kandinsky-3/unet": 0.425,
}
NAMES = ("unet", "text_encoder", "movq", "scheduler")
CLASSES = {"unet": "Kandinsky3UNet", "text_encoder": "T5EncoderModel", "movq": "VQModel"}
# Shares of the published networks' numbers; the others are norms, biases, embeddings of the
# timestep, the first and the last convolution, and transposed convolutions.
SHARES = {
    "KandiSuperRes/unet": 0.95,
    "Kandinsky_2.0/text_encoder2": 0.999,
    "Kandinsky_2.0/unet": 0.994,
    "kandinsky-2-1/unet": 0.995,
    "kandinsky-2-2-controlnet-depth/unet": 0.995,
    "kandinsky-3/text_encoder": 0.9999,
    "kandinsky-3/unet": 0.97,
}


def test_nearly_all_numbers_of_the_published_unets_and_text_encoders() -> None:
    found = {manifest.name: manifest for manifest in manifests()}
    for name, least in SHARES.items():
        counts = {True: 0, False: 0}
        for tensor, (_, shape) in found[name].tensors.items():
            size = 1
            for side in shape:
                size *= side
            counts[in_eight_bits(found[name].class_name, tensor, len(shape))] += size
        share = counts[True] / sum(counts.values())
        assert least <= share < 1, (name, share)


@pytest.mark.parametrize(("name", "share"), list(PRODUCTS.items()))
def test_a_backend_that_only_multiplies_keeps_products_alone(name: str, share: float) -> None:
    manifest = next(manifest for manifest in manifests() if manifest.name == name)
    counts = {True: 0, False: 0}
    for tensor, (_, shape) in manifest.tensors.items():
        kept = products_in_eight_bits(manifest.class_name, tensor, len(shape))
        assert not kept or in_eight_bits(manifest.class_name, tensor, len(shape))
        counts[kept] += math.prod(shape)
    assert counts[True] / sum(counts.values()) == pytest.approx(share, abs=0.005)
    assert not products_in_eight_bits("T5EncoderModel", "shared.weight", 2)


@pytest.mark.parametrize(
    ("class_name", "name", "rank"),
    [
        ("UNet2DConditionModel", "time_embedding.linear_1.weight", 2),
        ("UNet2DConditionModel", "add_embedding.image_proj.weight", 2),
        ("UNet2DConditionModel", "conv_in.weight", 4),
        ("UNet2DConditionModel", "conv_norm_out.weight", 1),
        ("UNet2DConditionModel", "down_blocks.0.resnets.0.conv1.bias", 1),
        ("Kandinsky3UNet", "up_blocks.0.resnets_in.1.shortcut_up_sample.weight", 4),
        ("KandinskySuperResUNet", "up_blocks.0.resnets.3.sampler.weight", 4),
        (
            "T5EncoderModel",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            2,
        ),
        ("T5EncoderModel", "layer.0.layer_norm.weight", 1),
        ("PriorTransformer", "proj_in.weight", 2),
        ("VQModel", "decoder.conv_in.weight", 4),
        ("SomethingElse", "proj_in.weight", 2),
    ],
)
def test_what_stays_in_the_dtype(class_name: str, name: str, rank: int) -> None:
    assert not in_eight_bits(class_name, name, rank)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        ("int8", {"unet": "int8", "text_encoder": "int8"}),
        ({"text_encoder": "int8"}, {"text_encoder": "int8"}),
        ({"default": "int8", "unet": None}, {"text_encoder": "int8"}),
        ({}, {}),
    ],
)
def test_components(given: Any, expected: Mapping[str, str]) -> None:
    assert quantized_components(given, NAMES, CLASSES) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("int4", "quantize='int4' is not supported: give int8, or leave it out"),
        (8, "quantize=8 is not supported"),
        ({"unet": "int2"}, "quantize='int2' is not supported"),
        ({"vae": "int8"}, "quantize has 'vae': networks .* here: unet, text_encoder"),
        ({"movq": "int8"}, "quantize has movq: networks .* here: unet, text_encoder"),
    ],
)
def test_values_that_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        quantized_components(given, NAMES, CLASSES)


class Quantizing(FakeBackend):
    """A backend that takes `quantize`, and notes which networks it loads with it."""

    quantizations = ("int8",)

    def __init__(self) -> None:
        self.loaded: dict[str, str | None] = {}

    def load(
        self, source: Any, dtype: str, device: str | None = None, *, quantize: str | None = None
    ) -> Any:
        self.loaded[source.class_name] = quantize
        made = super().load(source, dtype, device)
        made.quantize = quantize
        return made


def test_from_pretrained_asks_the_backend_for_those_networks_alone() -> None:
    backend: Any = Quantizing()
    pipe = KandinskyV22Pipeline.from_pretrained("shapes", backend=backend, quantize="int8")
    assert backend.loaded == {"UNet2DConditionModel": "int8", "VQModel": None}
    assert pipe.precision_facts == {"dtype": "float32", "quantize": "int8"}
    UNet2DConditionModel.from_pretrained(
        "shapes", subfolder="unet", backend=backend, quantize="int8"
    )
    plain = KandinskyV22Pipeline.from_pretrained("shapes", backend=backend)
    assert plain.precision_facts == {"dtype": "float32"}
    with pytest.raises(InvalidInputError, match="networks with such weights here: none"):
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend=backend, quantize="int8")


def test_a_backend_that_keeps_weights_in_their_dtype_refuses_it_before_loading() -> None:
    backend: Any = FakeBackend()
    message = "the fake backend keeps weights in their dtype: take backend='jax', or leave quantize"
    for load in (KandinskyV22Pipeline.from_pretrained, UNet2DConditionModel.from_pretrained):
        with pytest.raises(InvalidInputError, match=message):
            load("no such model", backend=backend, quantize="int8")  # no file is looked for


def test_metadata_name_the_networks_where_only_some_are_in_8_bits() -> None:
    def network(class_name: str, quantize: str | None) -> Any:
        return SimpleNamespace(config=SimpleNamespace(CLASS_NAME=class_name), quantize=quantize)

    networks = {"unet": network("Kandinsky3UNet", "int8"), "movq": network("VQModel", None)}
    assert quantization_facts(networks) == {"quantize": "int8"}
    networks["text_encoder"] = network("T5EncoderModel", None)
    assert quantization_facts(networks) == {"quantize": {"unet": "int8"}}
    with pytest.raises(InvalidInputError, match="a LoRA: this Kandinsky3UNet keeps its weights in"):
        refuse_if_quantized(networks["unet"], "a LoRA")
    refuse_if_quantized(networks["text_encoder"], "a LoRA")
