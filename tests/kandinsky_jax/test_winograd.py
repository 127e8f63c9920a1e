"""Convolutions with fewer products: as exact as the direct ones, in the loops of large UNets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

import jax
import jax.numpy as jnp

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core import DDPMScheduler, get_backend
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.configs import Kandinsky3UNetConfig, UNet2DConditionConfig
from kandinsky_core.seam.compile_only import compile_only
from kandinsky_jax.components import tiled_form
from kandinsky_jax.components.tiled_form import worth_tiling
from kandinsky_jax.layers.winograd import (
    DOUBLED_TILES,
    convolve_columns,
    convolve_doubled,
    convolve_doubled_in_bands,
    convolve_tiles,
    kernel_to_tiles,
)
from tests.support.dict_tensors import DictTensors
from tests.support.jax_networks import form_of

PUBLISHED = Path(__file__).parents[2] / "tests/data/configs/2.2/unet.json"
SHAPES = EMBEDDED["shapes"] / "decoder/unet/config.json"


def exact(x: Any, kernel: Any) -> Any:
    """The direct sum in float64."""
    height, width = x.shape[1:3]
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    )


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (6, 9), (1, 2)])
def test_it_is_as_exact_as_the_direct_convolution(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *size, 48), np.float32)
    kernel = rng.standard_normal((3, 3, 48, 20), np.float32)
    expected = exact(x, kernel)
    got = convolve_tiles(jnp.asarray(x), kernel_to_tiles(jnp.asarray(kernel)))
    plain = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(1, 1)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    columns = convolve_columns(jnp.asarray(x), jnp.asarray(kernel))
    errors = [np.linalg.norm(np.asarray(y) - expected) for y in (got, columns, plain)]
    assert max(errors[:2]) < 2.5 * errors[2]  # 2.3 of two pixels, otherwise 1
    assert max(errors) / np.linalg.norm(expected) < 6e-7


@pytest.mark.parametrize("size", [(8, 8), (3, 5), (1, 2)])
def test_of_a_doubled_picture_nine_products_are_enough(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *size, 48), np.float32)
    kernel = rng.standard_normal((3, 3, 48, 20), np.float32)
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    expected = exact(doubled, kernel)
    tiles = kernel_to_tiles(jnp.asarray(kernel), doubled=True)
    assert len(tiles) == DOUBLED_TILES
    got, whole = (
        np.asarray(array, np.float64)
        for array in (
            convolve_doubled(jnp.asarray(x), tiles),
            convolve_tiles(jnp.asarray(doubled), kernel_to_tiles(jnp.asarray(kernel))),
        )
    )
    errors = [np.linalg.norm(y - expected) / np.linalg.norm(expected) for y in (got, whole)]
    assert max(errors) < 6e-7


@pytest.mark.parametrize("size", [(16, 8), (19, 5), (7, 3), (1, 2)])
def test_bands_of_a_doubled_picture_are_the_whole(size: tuple[int, int]) -> None:
    """Of a number of rows that bands divide, of one that they do not, of less than a band."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *size, 48), np.float32)
    kernel = rng.standard_normal((3, 3, 48, 20), np.float32)
    expected = exact(x.repeat(2, axis=1).repeat(2, axis=2), kernel)
    got = np.asarray(jax.jit(convolve_doubled_in_bands)(x, kernel), np.float64)
    assert got.shape == expected.shape
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 6e-7


def random_unet(levels: list[int]) -> Any:
    """These levels of the embedded model's UNet with random weights, in PyTorch's names."""
    config = json.loads(SHAPES.read_text(encoding="utf-8"))
    for name in ("block_out_channels", "down_block_types", "up_block_types"):
        config[name] = [config[name][level] for level in levels]
    return random_network("UNet2DConditionModel", config)


SMALL_3 = {
    "in_channels": 4,
    "block_out_channels": [32, 64],
    "layers_per_block": 2,
    "groups": 8,
    "time_embedding_dim": 16,
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "encoder_hid_dim": 24,
}


def random_network(class_name: str, config: dict[str, Any]) -> Any:
    rng = np.random.default_rng(3)
    arrays = {
        name: (rng.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32)
        + np.float32(len(shape) == 1 and name.endswith("weight"))
        for name, shape in expected_tensors(class_name, config).items()
    }
    tensors = DictTensors(arrays)
    return SimpleNamespace(
        class_name=class_name, config=config, tensors=lambda: tensors, name="unet"
    )


@pytest.fixture(scope="module")
def source() -> Any:
    return random_unet([0, 2])


def two_steps(network: Any, between: Callable[[], Any] | None = None) -> Any:
    rng = np.random.default_rng(1)
    schedule = DDPMScheduler().schedule(4)
    sample = rng.standard_normal((1, 4, 8, 16), np.float32)
    width = network.config.encoder_hid_dim
    if isinstance(network.config, Kandinsky3UNetConfig):
        conditioning = {
            "text_encoder_hidden_states": rng.standard_normal((2, 5, width), np.float32),
            "attention_mask": np.ones((2, 5), bool),
        }
    else:
        conditioning = {"image_embeds": rng.standard_normal((2, width), np.float32)}
    run = network.begin(sample, conditioning, 3.0)
    for index in range(2):
        if index and between is not None:
            between()
        run.step(float(schedule.timesteps[index]), schedule.rows[index], sample)
    return run.read()


@pytest.mark.parametrize("family", ["2.2", "3"])
def test_the_loop_of_a_unet_gives_the_same(family: str, source: Any) -> None:
    if family == "3":
        source = random_network("Kandinsky3UNet", SMALL_3)
    backend: Any = get_backend("jax", winograd=True)
    tiled, plain = backend.load(source, "float32"), get_backend("jax").load(source, "float32")
    assert (tiled.winograd, plain.winograd) == (True, False)
    expected, got = two_steps(plain), two_steps(tiled)
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 5e-6
    assert not np.array_equal(got, expected), "it is the other form"
    programs = [entry.program for entry in backend.compilations]
    assert programs.count("kernels to tiles") == 1
    two_steps(tiled)
    assert len(backend.compilations) == len(programs)


@pytest.mark.slow
def test_in_bfloat16_it_costs_less_than_one_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random_unet([0, 1, 2])
    exact = two_steps(get_backend("jax").load(source, "float32"))
    backend: Any = get_backend("jax", winograd=True)
    errors = []
    for fast in (False, True):  # as on a CPU without products of bfloat16, and on one with them
        monkeypatch.setattr(tiled_form, "multiplies_bfloat16", lambda fast=fast: fast)
        network = backend.load(source, "bfloat16")
        assert (network.tiled() is not None) == fast
        errors.append(np.linalg.norm(two_steps(network) - exact) / np.linalg.norm(exact))
    print("plain {:.1e}, with tiles {:.1e}".format(*errors))  # noqa: T201 - shown by pytest -rP
    assert 1e-3 < errors[1] < 2 * errors[0] < 0.1  # 1.6 is seen


def test_what_is_compiled_ahead_is_what_the_loop_runs(source: Any) -> None:
    backend: Any = get_backend("jax", winograd=True)
    with compile_only():  # without values, and with them
        assert not two_steps(backend.load(source, "float32")).any()
    network = backend.load(source, "float32")
    with compile_only():
        assert not two_steps(network).any()
    assert [entry.program for entry in backend.compilations] == [
        "kernels to tiles",
        "UNet2DCondition prepare",
        "UNet2DCondition guided step",
    ]
    assert two_steps(network).any()
    assert len(backend.compilations) == 3


def test_changed_weights_change_the_loop(source: Any) -> None:
    backend: Any = get_backend("jax", winograd=True)
    network = backend.load(source, "float32")
    first = two_steps(network)
    name = "down_blocks.0.resnets.0.conv1.weight"
    values = network.read_weights([name])[name]
    network.update_weights({name: values * 2})
    assert np.abs(two_steps(network) - first).max() > 1e-3
    network.restore_weights()
    np.testing.assert_array_equal(two_steps(network), first)
    network.to(dtype="bfloat16")
    assert two_steps(network).dtype == np.float32
    network.to(dtype="float32")
    network.offload()
    two_steps(network)


@pytest.mark.parametrize("change", ["offload", "onload", "update_weights"])
def test_a_loop_under_way_keeps_its_form_and_weights(change: str, source: Any) -> None:
    network = get_backend("jax", winograd=True).load(source, "float32")
    if change == "onload":
        network.offload()
    expected = two_steps(network)
    name = "down_blocks.0.resnets.0.conv1.weight"
    values = {name: 2 * network.read_weights([name])[name]}
    with_change = {"offload": network.offload, "onload": network.onload}.get(
        change, lambda: network.update_weights(values)
    )
    np.testing.assert_array_equal(two_steps(network, with_change), expected)
    if change == "offload":
        assert network._tiled is None, "it holds no weights of a form that it cannot run"


@pytest.mark.parametrize("class_name", ["UNet2DConditionModel", "Kandinsky3UNet"])
def test_a_network_of_one_level_has_no_tiles(class_name: str) -> None:
    one = random_unet([0]) if class_name == "UNet2DConditionModel" else None
    source = one or random_network(class_name, SMALL_3 | {"block_out_channels": [32]})
    network = get_backend("jax", winograd=True).load(source, "float32")
    assert not network.winograd
    assert np.isfinite(two_steps(network)).all()


def test_large_networks_take_it_on_a_cpu() -> None:
    published, small = (
        UNet2DConditionConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
        for path in (PUBLISHED, SHAPES)
    )
    assert worth_tiling(form_of(published))
    assert not worth_tiling(form_of(small))
    assert worth_tiling(form_of(Kandinsky3UNetConfig()))
    assert not worth_tiling(form_of(Kandinsky3UNetConfig.from_dict(SMALL_3)))
