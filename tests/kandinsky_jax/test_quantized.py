"""Weights in 8 bits on JAX: products, loading, programs, and how far networks are off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from kandinsky_backend_kit.quantized_rows import dequantized_rows, quantized_rows
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core import KandinskyV22Pipeline
from kandinsky_core.configs import (
    Kandinsky3UNetConfig,
    NetworkConfig,
    T5Config,
    UNet2DConditionConfig,
)
from kandinsky_core.errors import CheckpointError, InvalidInputError
from kandinsky_core.memory.plan import ComponentMemory
from kandinsky_core.seam.compile_only import compile_only
from kandinsky_core.seam.quantization import in_eight_bits
from kandinsky_jax import create
from kandinsky_jax.layers.attention import attend
from kandinsky_jax.layers.layers import Conv, Embedding, Layers, Linear
from kandinsky_jax.layers.quantized import Quantized, multiply
from kandinsky_jax.placement.devices import default_device
from kandinsky_jax.programs.compiler_options import compile_lowered, compiler_options
from kandinsky_jax.programs.description import describe
from kandinsky_jax.weights.load import load_weights
from tests.support.dict_tensors import DictTensors
from tests.support.jax_networks import form_of
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)
T5 = T5Config(
    vocab_size=128, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
    feed_forward_proj="gated-silu",
)  # fmt: skip
UNET_22 = UNet2DConditionConfig.from_dict(
    {
        "in_channels": 4,
        "out_channels": 8,
        "block_out_channels": (32,),
        "layers_per_block": 1,
        "down_block_types": ("SimpleCrossAttnDownBlock2D",),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "resnet_time_scale_shift": "scale_shift",
        "up_block_types": ("SimpleCrossAttnUpBlock2D",),
        "attention_head_dim": 16,
        "cross_attention_dim": 32,
        "encoder_hid_dim": 24,
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
    }
)
UNET_3 = Kandinsky3UNetConfig.from_dict(
    {
        "in_channels": 4,
        "time_embedding_dim": 32,
        "groups": 4,
        "attention_head_dim": 16,
        "layers_per_block": 2,
        "block_out_channels": (32, 64),
        "cross_attention_dim": 32,
        "encoder_hid_dim": 24,
    }
)


class Source:
    """A network of random weights, scaled so that activations stay of order one."""

    def __init__(self, config: Any, dtype: Any = np.float32) -> None:
        self.class_name = config.CLASS_NAME
        self.config: Mapping[str, Any] = config.to_dict()
        random = np.random.default_rng(11)
        self.arrays = {}
        for name, shape in expected_tensors(self.class_name, self.config).items():
            values = random.standard_normal(shape)
            if len(shape) > 1:
                values /= np.sqrt(np.prod(shape[1:]))
                if name.endswith(".q.weight"):  # T5 does not scale its scores; its weights do
                    values /= np.sqrt(config.d_kv)
            else:
                values = 0.1 * values + (1 if "norm" in name and name.endswith("weight") else 0)
            self.arrays[name] = values.astype(dtype)

    def tensors(self) -> Any:
        return DictTensors(self.arrays)


def rounded(source: Source) -> Source:
    """The same network with each weight that is kept in 8 bits replaced by what they stand for."""
    found = replace_arrays(source)
    for name, array in source.arrays.items():
        if in_eight_bits(source.class_name, name, array.ndim):
            found.arrays[name] = dequantized_rows(*quantized_rows(array))
    return found


def replace_arrays(source: Source) -> Source:
    made = object.__new__(Source)
    vars(made).update(vars(source) | {"arrays": dict(source.arrays)})
    return made


def quantized(kernel: Any, axes: tuple[int, ...] | None) -> Quantized:
    rows, steps = quantized_rows(kernel if axes is None else kernel.transpose(axes))
    back = rows if axes is None else rows.transpose(np.argsort(axes))
    return Quantized(jnp.asarray(back), jnp.asarray(steps))


def layers(dtype: str) -> Layers:
    return Layers(dtype=dtype, param_dtype=dtype, attend=attend)


def test_a_product_is_off_by_half_a_step_for_each_weight_at_most() -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((5, 96)).astype(np.float32)
    kernel = (random.standard_normal((96, 40)) * 10 ** random.uniform(-4, 4, 40)).astype(np.float32)
    layer = Linear(96, 40, bias=False, layers=layers("float32"))
    weight = quantized(kernel, (1, 0))
    layer.kernel.value = weight
    off = np.abs(np.asarray(layer(jnp.asarray(x)), np.float64) - x.astype(np.float64) @ kernel)
    bound = 0.5 * np.asarray(weight.steps) * np.abs(x).sum(axis=1, keepdims=True)
    assert (off <= bound * 1.001).all()
    assert (off.max(axis=0) > 0.01 * bound.max(axis=0)).all()  # the steps are the bound's scale


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_is_the_one_with_the_weights_that_they_stand_for(
    dtype: str, size: int
) -> None:
    """In float16 whole numbers alone would overflow: sums of 576 x 127 x 8."""
    random = np.random.default_rng(2)
    kernel = (0.01 + random.standard_normal((size, size, 64, 8)) ** 2).astype(np.float32)
    x = 8 + random.random((1, 4, 4, 64)).astype(np.float32)
    conv = Conv(64, 8, kernel=size, padding=size // 2, bias=False, layers=layers(dtype))
    weight = quantized(kernel, (3, 2, 0, 1))
    conv.kernel.value = weight
    plain = Conv(64, 8, kernel=size, padding=size // 2, bias=False, layers=layers("float32"))
    plain.kernel.value = weight.values * weight.steps
    given = conv(jnp.asarray(x, dtype))
    assert given.dtype == dtype
    expected = plain(jnp.asarray(x, dtype).astype(jnp.float32))
    # The result is rounded, and the convolution before its steps are multiplied. A CPU sums up in
    # float16 itself.
    roundings = {"float32": 8, "bfloat16": 2, "float16": 16}[dtype]
    assert given.astype(jnp.float32) == pytest.approx(
        expected, rel=roundings * float(jnp.finfo(dtype).eps)
    )


def test_a_table_is_rounded_by_its_rows() -> None:
    random = np.random.default_rng(4)
    table = (random.standard_normal((9, 6)).T * 10.0 ** np.arange(-4, 5)).T.astype(np.float32)
    layer = Embedding(9, 6, layers=layers("float32"))
    layer.embedding.value = quantized(table, None)
    found = np.asarray(layer(jnp.arange(9)[::-1]))[::-1]
    assert np.array_equal(found, dequantized_rows(*quantized_rows(table)))


@pytest.mark.parametrize("stored", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_loading_rounds_what_the_file_holds(stored: Any) -> None:
    """Whatever the network computes in: a weight is never rounded to bfloat16 before."""
    source = Source(T5, stored)
    form = replace(form_of(T5, "bfloat16"), quantize="int8")
    tensors = source.tensors()
    weights = load_weights(form, tensors)
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in weights.items()} == {
        name: (leaf.shape, leaf.dtype) for name, leaf in form.abstract().items()
    }
    assert sorted(tensors.reads) == sorted(source.arrays)  # each once
    for name in ("encoder.block.1.layer.1.DenseReluDense.wo", "shared"):
        rows, steps = quantized_rows(source.arrays[f"{name}.weight"])
        native = f"{name}.embedding" if name == "shared" else f"{name}.kernel"
        given = np.asarray(weights[native])
        assert np.array_equal(given if name == "shared" else given.T, rows)
        assert np.array_equal(weights[f"{native}_steps"], steps)
    plan = ComponentMemory.of("text_encoder", source, "bfloat16", "int8")
    assert plan.size == sum(leaf.nbytes for leaf in weights.values())
    assert len(form.in_eight_bits()) == 1 + 2 * 7


def test_nan_is_refused_by_its_tensor() -> None:
    source = Source(T5)
    source.arrays["shared.weight"][3, 3] = np.nan
    with pytest.raises(CheckpointError, match=r"NaN or infinity .*shared.weight"):
        load_weights(replace(form_of(T5), quantize="int8"), source.tensors())


def test_programs_of_both_kinds_are_apart_in_memory_and_on_the_disk() -> None:
    backend, source = create(), Source(T5)
    ids = np.arange(6, dtype=np.int32)[None]
    mask = np.ones((1, 6), bool)
    plain = backend.load(source, "float32")
    eight = backend.load(source, "float32", quantize="int8")
    streamed = backend.load_streamed(source, "float32", quantize="int8")
    with compile_only():
        absent = backend.load(source, "float32", quantize="int8")
        absent.encode(ids, mask)
    before = len(backend.compilations)
    found = [network.encode(ids, mask) for network in (plain, eight, streamed)]
    # One for the whole encoder in the dtype and one for a block; that in 8 bits is there.
    assert len(backend.compilations) == before + 2
    assert describe(plain._form) != describe(eight._form)
    exact = backend.load(rounded(source), "float32").encode(ids, mask)
    errors = [relative(found[1], exact), relative(found[2], found[1]), relative(found[1], found[0])]
    LOG.info("T5: %.1e from rounded weights, %.1e in blocks, %.1e from its own", *errors)
    assert errors[0] < allowed("3 t5")
    assert errors[1] < allowed("3 t5 in blocks")
    assert 1e-3 < errors[2] < allowed("8 bits")
    eight.to(dtype="bfloat16")
    kinds = {str(leaf.dtype) for leaf in eight._weights.values()}
    assert kinds == {"int8", "float32", "bfloat16"}


@pytest.mark.parametrize("kind", ["int8", "bfloat16", "float16"])
def test_a_cpu_widens_one_weight_after_the_other(kind: str) -> None:
    """XLA's usual scheduler would hold all of them in float32 at once: 6 of 1 MB."""
    weights = {name: jax.ShapeDtypeStruct((512, 512), kind) for name in "abcdef"}
    lowered = jax.jit(_chain).lower(weights, jax.ShapeDtypeStruct((4, 512), np.float32))
    compiled = compile_lowered(lowered, compiler_options(default_device(), weights))
    assert compiled.memory_analysis().temp_size_in_bytes < 2.5 * 2**20
    floats = {name: jax.ShapeDtypeStruct((8, 8), np.float32) for name in "ab"}
    assert not compiler_options(default_device(), floats)


def _chain(weights: Any, x: Any) -> Any:
    for name in sorted(weights):
        kernel = weights[name]
        if kernel.dtype == jnp.int8:
            x = jnp.tanh(multiply(x, Quantized(kernel, jnp.ones(512))))
        else:
            x = jnp.tanh(multiply(x.astype(kernel.dtype), kernel))
    return x


def relative(given: Any, reference: Any) -> float:
    return float(np.linalg.norm(given - reference) / np.linalg.norm(reference))


def test_what_needs_full_precision_is_refused(tmp_path: Path) -> None:
    import pickle

    backend = create()
    pipe = KandinskyV22Pipeline.from_pretrained("shapes", backend=backend, quantize="int8")
    unet: Any = pipe.unet
    name = next(name for name in unet.weight_shapes() if name.endswith("to_q.weight"))
    for call in (
        lambda: pipe.load_lora_weights("no such file"),  # it is not looked for
        lambda: unet.load_lora_adapter("no such file"),
        lambda: unet.update_weights({name: unet.read_weights([name])[name]}),
        lambda: pipe.save_pretrained(tmp_path / "saved"),
        lambda: pickle.dumps(unet),
    ):
        with pytest.raises(InvalidInputError, match="weights in int8: load it without quantize"):
            call()
    assert not (tmp_path / "saved").exists()
    plain = KandinskyV22Pipeline.from_pretrained("shapes", backend=backend).unet
    before, after = plain.read_weights([name])[name], unet.read_weights([name])[name]
    assert after.shape == before.shape
    assert np.array_equal(after, dequantized_rows(*quantized_rows(before)))
    assert unet.get_memory_footprint() < 0.3 * plain.get_memory_footprint()
    unet.winograd = True  # tiles would be kept in the dtype
    assert unet.tiled() is None


def inputs_of(config: NetworkConfig) -> tuple[Any, dict[str, Any]]:
    random = np.random.default_rng(9)
    sample = random.standard_normal((1, 4, 8, 8)).astype(np.float32)
    if isinstance(config, UNet2DConditionConfig):
        embeds = random.standard_normal((1, config.encoder_hid_dim)).astype(np.float32)
        return sample, {
            "encoder_hidden_states": None,
            "added_cond_kwargs": {"image_embeds": embeds},
        }
    states = random.standard_normal((1, 5, config.encoder_hid_dim)).astype(np.float32)
    return sample, {"encoder_hidden_states": states, "encoder_attention_mask": np.ones((1, 5))}


@pytest.mark.slow(seconds=12)
@pytest.mark.parametrize("config", [UNET_22, UNET_3])
def test_a_unet_in_8_bits(config: Any) -> None:
    backend, source = create(), Source(config)
    sample, told = inputs_of(config)
    found = [
        backend.load(network, "float32", **more)(sample, 500, **told).sample
        for network, more in (
            (source, {"quantize": "int8"}),
            (rounded(source), {}),
            (source, {}),
        )
    ]
    errors = relative(found[0], found[1]), relative(found[0], found[2])
    LOG.info("%s: %.1e from rounded weights, %.1e from its own", config.CLASS_NAME, *errors)
    assert errors[0] < allowed("jax unet")
    assert 1e-4 < errors[1] < allowed("8 bits")
