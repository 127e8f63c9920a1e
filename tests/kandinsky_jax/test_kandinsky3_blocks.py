"""Parts of Kandinsky 3's networks in JAX against their definitions, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

import jax
import jax.numpy as jnp

from kandinsky_jax.layers import attention
from kandinsky_jax.layers.layers import Layers, timestep_sinusoid_of_sines
from kandinsky_jax.networks.kandinsky3_blocks import UpConv
from kandinsky_jax.networks.t5_encoder import score_bias

LAYERS = Layers(dtype="float32", param_dtype="float32", attend=attention.attend)


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_the_sinusoid_has_the_published_values() -> None:
    row = timestep_sinusoid_of_sines(jnp.asarray([999]), 192)[0]
    assert row.shape == (192,)
    expected = {
        0: -0.026460753,
        1: 0.941601692,
        95: 0.099733916,
        96: 0.999649853,
        97: -0.336728753,
        191: 0.995014144,
    }
    for place, value in expected.items():
        assert row[place] == pytest.approx(value, abs=5e-5)  # of float32 angles up to 999


def test_a_transposed_convolution_spreads_each_pixel_over_four() -> None:
    layer = UpConv(3, 2, layers=LAYERS)
    weight, bias, x = normal(3, 2, 2, 2), normal(2), normal(2, 3, 4, 3)  # [in,out,h,w]
    layer.kernel.value = jnp.asarray(weight.transpose(2, 3, 1, 0))
    layer.bias.value = jnp.asarray(bias)
    expected = np.zeros((2, 6, 8, 2))
    for row in range(2):
        for column in range(2):
            expected[:, row::2, column::2] = x @ weight[:, :, row, column] + bias
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("limit", "most"), [("MAX_SCORES", 2**26), ("MAX_SCORES", 100), ("HEAD_SCORES", 0)]
)
def test_attention_with_a_mask_in_pieces(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    """Padding weighs nothing, whatever the pieces; where all is padding, all weigh the same."""
    monkeypatch.setattr(attention, limit, most)
    query, key, value = normal(2, 37, 3, 8), normal(2, 9, 3, 8), normal(2, 9, 3, 8)
    seen = np.arange(9)[None] < np.array([[4], [0]])
    bias = jnp.where(jnp.asarray(seen), 0.0, float(np.finfo(np.float32).min))[:, None, None]
    out = attention.attend(*map(jnp.asarray, (query, key, value)), bias=bias, scale=0.3)
    scores = 0.3 * np.einsum("bqnd,bknd->bnqk", query, key)[0, ..., :4].astype(np.float64)
    weights = np.exp(scores)
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("nqk,knd->qnd", weights, value[0, :4])
    np.testing.assert_allclose(out[0], expected, atol=2e-6)
    mean = np.broadcast_to(value[1].mean(axis=0), out[1].shape)
    np.testing.assert_allclose(out[1], mean, atol=2e-6)


def test_attention_to_a_text_is_held_in_pieces_too() -> None:
    query = jax.ShapeDtypeStruct((2, 2**17, 12, 64), jnp.float32)
    key = jax.ShapeDtypeStruct((2, 128, 12, 64), jnp.float32)
    bias = jax.ShapeDtypeStruct((2, 1, 1, 128), jnp.float32)
    program = str(
        jax.make_jaxpr(lambda q, k, b: attention.attend(q, k, k, bias=b))(query, key, bias)
    )
    assert f"f32[2,12,{2**17},128]" not in program


def test_distances_and_padding_make_the_bias() -> None:
    table = normal(8, 2)  # 4 buckets for each direction, of which 2 for distances 0 and 1
    mask = np.array([[True, True, False]])
    bias = np.asarray(score_bias(jnp.asarray(table), jnp.asarray(mask), 16))
    assert bias.shape == (1, 2, 3, 3)
    assert np.isfinite(bias).all()
    for head in range(2):
        np.testing.assert_array_equal(bias[0, head, :2, :2], table[[[0, 5], [1, 0]], head])
        assert bias[0, head, 2, 0] == table[2, head]
    assert (bias[..., 2] < -1e38).all()
