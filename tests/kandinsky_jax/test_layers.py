"""Attention in pieces, norms far from zero, resizing, and the timestep's sinusoid."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kandinsky_core.errors import InvalidInputError
from kandinsky_jax.layers import attention
from kandinsky_jax.layers.layers import (
    GroupNorm,
    LayerNorm,
    Layers,
    average_pool_2x2,
    timestep_sinusoid,
    upsample_nearest,
)
from kandinsky_jax.networks.unet import UNet2DConditionModel
from kandinsky_jax.weights.network_form import abstract_network
from tests.support.published import published_config

LAYERS = Layers(dtype="float32", param_dtype="float32", attend=attention.attend)


def plain_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    scores = np.einsum("bqnd,bknd->bnqk", query, key) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bnqk,bknd->bqnd", weights, value)


def relative_error(given: jax.Array, reference: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(given) - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize("most", [2**26, 100, 1])
@pytest.mark.parametrize("one_head_at_a_time", [False, True])
def test_attention_in_pieces_is_attention(
    monkeypatch: pytest.MonkeyPatch, most: int, one_head_at_a_time: bool
) -> None:
    monkeypatch.setattr(attention, "MAX_SCORES", most)
    monkeypatch.setattr(attention, "MAX_NEAR_SCORES", most)
    monkeypatch.setattr(attention, "HEAD_SCORES", 0 if one_head_at_a_time else 2**26)
    generator = np.random.default_rng(2)
    query, key, value = (generator.standard_normal((2, n, 3, 8)) for n in (7, 11, 11))
    inputs = [jnp.asarray(x, jnp.float32) for x in (query, key, value)]
    out = attention.attend(*inputs)
    np.testing.assert_allclose(out, plain_attention(query, key, value), atol=2e-6)
    program = str(jax.make_jaxpr(lambda *inputs: attention.attend(*inputs))(*inputs))
    assert ("scan[" in program) == (one_head_at_a_time or most < 2**26)


@pytest.mark.parametrize(("most", "pieces"), [(2**23, 1), (4000, 2), (100, 0)])
def test_attention_of_a_tpu_is_attention(
    monkeypatch: pytest.MonkeyPatch, most: int, pieces: int
) -> None:
    """Queries in pieces, or by heads in a loop where there would be too many pieces."""
    monkeypatch.setattr(attention, "MAX_CHIP_SCORES", most)
    monkeypatch.setattr(attention, "_ROWS", 8)
    generator = np.random.default_rng(2)
    query, key, value = (generator.standard_normal((2, n, 3, 8)) for n in (31, 37, 37))
    inputs = [jnp.asarray(x, jnp.float32) for x in (query, key, value)]

    def attend(*inputs: jax.Array) -> jax.Array:
        return attention._attend_on_chip(*inputs, bias=None, scale=8**-0.5)

    np.testing.assert_allclose(attend(*inputs), plain_attention(query, key, value), atol=2e-6)
    program = str(jax.make_jaxpr(attend)(*inputs))
    assert ("scan[" in program) == (not pieces)
    assert not pieces or program.count("= exp ") == pieces


def test_attention_never_holds_more_scores_than_allowed() -> None:
    query = jax.ShapeDtypeStruct((1, 16384, 1, 512), jnp.float32)
    program = str(jax.make_jaxpr(attention.attend)(query, query, query))
    assert "f32[1,1,4096,16384]" in program
    assert "f32[1,1,16384,16384]" not in program


@pytest.mark.parametrize(("mean", "tolerance"), [(0.0, 1e-6), (100.0, 2e-4)])
def test_norms_keep_their_digits_far_from_zero(mean: float, tolerance: float) -> None:
    """At a mean of 100 the one-pass variance is wrong by 3e-3 and more."""
    x = np.random.default_rng(3).standard_normal((2, 32, 32, 64)) + mean
    x = x.astype(np.float32)
    norm = GroupNorm(64, groups=32, epsilon=1e-6, layers=LAYERS)
    norm.scale = nnx.Param(jnp.ones(64))
    groups = x.astype(np.float64).reshape(2, 32, 32, 32, 2)
    axes = (1, 2, 4)
    expected = (groups - groups.mean(axes, keepdims=True)) / np.sqrt(
        groups.var(axes, keepdims=True) + 1e-6
    )
    assert relative_error(norm(x), expected.reshape(x.shape)) < tolerance

    layer = LayerNorm(64, layers=LAYERS)
    layer.scale = nnx.Param(jnp.ones(64))
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    assert relative_error(layer(x), expected) < tolerance


def test_resizing() -> None:
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    big = upsample_nearest(jnp.asarray(x), 3)
    assert np.array_equal(big, x.repeat(3, axis=1).repeat(3, axis=2))
    assert np.array_equal(average_pool_2x2(upsample_nearest(jnp.asarray(x))), x)
    small = average_pool_2x2(jnp.asarray(x))
    assert np.array_equal(small[1, 0, 2], x[1, 0:2, 4:6].mean((0, 1)))


def test_sinusoid_has_cosines_first_and_float32_precision() -> None:
    time = np.array([0, 1, 500, 999])
    angle = time[:, None] * 10000.0 ** -(np.arange(192) / 192)
    expected = np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
    given = timestep_sinusoid(jnp.asarray(time), 384)
    assert given.dtype == jnp.float32
    # An angle near 999 is known to half a unit of float32, 3e-5.
    np.testing.assert_allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(12, 16), (16, 12), (9, 9)])
def test_latents_whose_skips_cannot_fit_are_refused(height: int, width: int) -> None:
    network = abstract_network(UNet2DConditionModel, published_config("unet"), dtype="float32")
    sample = jax.ShapeDtypeStruct((1, height, width, 4), jnp.float32)
    with pytest.raises(InvalidInputError, match=rf"{height} x {width}.*multiples of 8"):
        network(sample, None, None)
