"""Group norms: the form for a CPU and that for accelerators against float64."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import jax.numpy as jnp

from kandinsky_jax.layers import group_statistics
from kandinsky_jax.layers.group_statistics import group_normalised

EPSILON = 1e-5
ATOL = 1e-4  # 6e-5 is seen: a mean of a hundred is known to 1e-5, beside deviations of one


@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((2, 16, 16, 64), 32),
        ((1, 5, 7, 24), 8),  # 35 cells, which no power of two divides
        ((3, 2, 1, 64), 32),
        ((2, 6, 4, 96), 1),
    ],
)
@pytest.mark.parametrize("form", ["_means_in_steps", "_means_at_once"])
def test_either_form_is_exact(
    shape: tuple[int, ...], groups: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_statistics, "_means", getattr(group_statistics, form))
    rng = np.random.default_rng(0)
    # Means that are large beside the deviations: the one-pass form would lose four digits.
    offsets = np.repeat(rng.standard_normal(groups) * 100, shape[-1] // groups)
    x = (rng.standard_normal(shape) + offsets).astype(np.float32)
    grouped = x.astype(np.float64).reshape(*shape[:3], groups, -1)
    centred = grouped - grouped.mean(axis=(1, 2, 4), keepdims=True)
    variance = np.square(centred).mean(axis=(1, 2, 4), keepdims=True)
    expected = (centred / np.sqrt(variance + EPSILON)).reshape(shape)
    got = group_normalised(jnp.asarray(x), groups=groups, epsilon=EPSILON)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(got), expected, atol=ATOL)
