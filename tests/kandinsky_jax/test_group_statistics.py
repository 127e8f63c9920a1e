"""Group norms: the forms for a CPU, for a GPU and for a TPU against float64."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import jax.numpy as jnp

from kandinsky_jax.layers import group_statistics

EPSILON = 1e-5
ATOL = 1e-4  # 6e-5 is seen: a mean of a hundred is known to 1e-5, beside deviations of one


SHAPES = [
    ((2, 16, 16, 64), 32),
    ((1, 5, 7, 24), 8),  # 35 cells, which no power of two divides
    ((3, 2, 1, 64), 32),
    ((2, 6, 4, 96), 1),
]
FORMS = ["_means_in_steps", "_means_at_once", "_folded"]


def normalised(x: np.ndarray, groups: int) -> np.ndarray:
    grouped = x.astype(np.float64).reshape(*x.shape[:3], groups, -1)
    centred = grouped - grouped.mean(axis=(1, 2, 4), keepdims=True)
    variance = np.square(centred).mean(axis=(1, 2, 4), keepdims=True)
    return (centred / np.sqrt(variance + EPSILON)).reshape(x.shape)


@pytest.mark.parametrize(("shape", "groups"), SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_exact(
    shape: tuple[int, ...], groups: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalise = group_statistics._folded if form == "_folded" else group_statistics._normalised
    if form != "_folded":
        monkeypatch.setattr(group_statistics, "_means", getattr(group_statistics, form))
    rng = np.random.default_rng(0)
    # Means that are large beside the deviations: the one-pass form would lose four digits.
    offsets = np.repeat(rng.standard_normal(groups) * 100, shape[-1] // groups)
    x = (rng.standard_normal(shape) + offsets).astype(np.float32)
    scale, shift = (rng.standard_normal(shape[-1]).astype(np.float32) for _ in range(2))
    got = normalise(jnp.asarray(x), scale, shift, groups=groups, epsilon=EPSILON)
    assert got.dtype == jnp.float32
    expected = normalised(x, groups) * scale + shift
    np.testing.assert_allclose(np.asarray(got), expected, atol=ATOL * np.abs(scale).max())


@pytest.mark.parametrize("offset", [0, 30])
def test_sums_of_half_precision_are_exact(offset: int) -> None:
    """A TPU sums numbers and squares at once, which costs less than the numbers' own rounding."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 16, 16, 64)) + offset, "bfloat16")
    one, zero = np.ones(64, np.float32), np.zeros(64, np.float32)
    got = group_statistics._folded(x, one, zero, groups=32, epsilon=EPSILON)
    expected = normalised(np.asarray(x, np.float32), 32)
    rounded = float(np.abs(expected).max()) * 2**-9
    np.testing.assert_allclose(np.asarray(got), expected, atol=rounded / 4)


def test_a_flat_map_in_half_precision_has_no_negative_variance() -> None:
    x = jnp.full((1, 8, 8, 64), 3.14159, jnp.bfloat16)
    one, zero = np.ones(64, np.float32), np.zeros(64, np.float32)
    got = group_statistics._folded(x, one, zero, groups=32, epsilon=EPSILON)
    assert float(jnp.abs(got).max()) < 0.01
