"""Matrix products in half precision: what a CPU sums in float32, in either of its forms."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp

from kandinsky_jax.layers import products
from kandinsky_jax.layers.attention import attend
from kandinsky_jax.layers.platforms import tracing_for
from kandinsky_jax.layers.winograd import (
    convolve_columns,
    convolve_doubled,
    convolve_tiles,
    kernel_to_tiles,
)

DTYPES = ("bfloat16", "float16")
ROUNDING = {"bfloat16": 2**-8, "float16": 2**-11}


def normal(seed: int, *shape: int, dtype: str) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def exact(*arrays: jax.Array) -> list[np.ndarray]:
    return [np.asarray(array, np.float64) for array in arrays]


def relative_error(got: jax.Array, expected: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(got, np.float64) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_wide_and_rounded_once(dtype: str) -> None:
    """A sum of thousands that is kept in bfloat16 has lost two of its three digits."""
    x, kernel = normal(0, 2, 5, 4096, dtype=dtype), normal(1, 4096, 24, dtype=dtype)
    expected = np.matmul(*exact(x, kernel))
    got = products.product(x, kernel)
    assert got.dtype == dtype
    assert relative_error(got, expected) < ROUNDING[dtype] / 2  # 0.44 of it is seen
    wide = products.wide_product("bti,io->bto", x, kernel)
    assert wide.dtype == jnp.float32
    assert relative_error(wide, expected) < 1e-6


def test_float32_stays_float32() -> None:
    x, kernel = normal(0, 3, 64, dtype="float32"), normal(1, 64, 8, dtype="float32")
    for got in (products.product(x, kernel), products.wide_product("ti,io->to", x, kernel)):
        assert got.dtype == jnp.float32
        assert relative_error(got, np.matmul(*exact(x, kernel))) < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_in_half_precision(dtype: str) -> None:
    query, key, value = (normal(seed, 1, 600, 2, 16, dtype=dtype) for seed in range(3))
    wide = [jnp.asarray(x, jnp.float32) for x in (query, key, value)]
    got = attend(query, key, value)
    assert got.dtype == dtype
    assert relative_error(got, np.asarray(attend(*wide))) < ROUNDING[dtype]  # 0.58


def test_convolutions_in_bfloat16_beside_the_direct_sum() -> None:
    x, kernel = normal(0, 2, 8, 8, 96, dtype="bfloat16"), normal(1, 3, 3, 96, 32, dtype="bfloat16")
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

    for given, got, allowed in (
        (x, convolve_columns(x, kernel), 1.01),
        (x, convolve_tiles(x, kernel_to_tiles(kernel)), 2.8),
        (doubled, convolve_doubled(x, kernel_to_tiles(kernel, doubled=True)), 2.5),
    ):
        assert got.dtype == jnp.bfloat16
        wide = [jnp.asarray(a, jnp.float32) for a in (given, kernel)]
        expected = np.asarray(direct(*wide), np.float64)
        plain = relative_error(direct(given, kernel), expected)
        assert relative_error(got, expected) < allowed * plain


FEW, MANY = (1, 6, 7, 128), (1, 33, 34, 128)


@pytest.mark.parametrize(
    ("dtype", "shape", "platform", "by_products"),
    [
        ("bfloat16", FEW, "cpu", True),
        ("bfloat16", MANY, "cpu", False),
        ("bfloat16", FEW, "tpu", False),
        ("float32", FEW, "cpu", False),
        ("float16", FEW, "cpu", False),
    ],
)
def test_convolutions_are_products_where_these_are_better(
    dtype: str,
    shape: tuple[int, ...],
    platform: str,
    by_products: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: True)
    x, kernel = normal(0, *shape, dtype=dtype), normal(1, 3, 3, 128, 160, dtype=dtype)
    with tracing_for(platform):
        traced = jax.jit(partial(products.convolution, padding=1)).trace(x, kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.dot_general") == 9 * by_products
    assert text.count("stablehlo.convolution") == 1 - by_products


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": 1}])
@pytest.mark.parametrize("side", [3, 5])
def test_convolutions_by_products_are_the_direct_sum(
    dtype: str, options: dict[str, int], side: int
) -> None:
    """Also where the kernel reaches beyond the picture: then there is no cell."""
    x, kernel = normal(0, 2, 3, 7, 24, dtype=dtype), normal(1, side, side, 24, 16, dtype=dtype)
    wide = [jnp.asarray(a, jnp.float32) for a in (x, kernel)]
    expected = np.asarray(products.convolution(*wide, **options), np.float64)
    got = products._convolved_by_products(x, kernel, **{"stride": 1, "padding": 0, **options})
    assert got.dtype == dtype
    assert got.shape == expected.shape
    if expected.size:
        assert relative_error(got, expected) < (2**-8 if dtype == "bfloat16" else 1e-6)


def test_convolutions_in_float16_are_widened_on_a_cpu() -> None:
    """XLA would take a hundred times as long, and be eight times as far from the exact sum."""
    x, kernel = normal(0, 2, 7, 7, 96, dtype="float16"), normal(1, 3, 3, 96, 8, dtype="float16")
    options = {"stride": 2, "padding": 1}
    wide = [jnp.asarray(a, jnp.float32) for a in (x, kernel)]
    expected = np.asarray(products.convolution(*wide, **options), np.float64)
    got = products.convolution(x, kernel, **options)
    assert got.dtype == jnp.float16
    assert relative_error(got, expected) < ROUNDING["float16"] / 2
    traced = jax.jit(lambda x, kernel: products.convolution(x, kernel)).trace(x, kernel)
    for platform, factor in (("cpu", "f32"), ("tpu", "f16")):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        (line,) = (line for line in text.splitlines() if "stablehlo.convolution" in line)
        assert line.count(f"x{factor}>") == 3


@pytest.mark.parametrize(
    ("version", "text", "fast"),
    [
        ((0, 10, 2), "processor : 0\nflags : fpu amx_bf16 amx_tile\n", True),
        ((0, 10, 2), "processor : 0\nflags : fpu avx512f avx512_bf16\n", True),
        ((0, 10, 2), "processor : 0\nflags : fpu avx512f avx512_vnni\n", False),
        ((0, 10, 2), "", False),
        ((0, 10, 2), None, False),
        ((0, 7, 1), "processor : 0\nflags : fpu amx_bf16 amx_tile avx512_bf16\n", False),
    ],
)
def test_bfloat16_is_multiplied_where_jax_and_processor_can(
    version: tuple[int, ...],
    text: str | None,
    fast: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr("kandinsky_backend_kit.processor.PROCESSORS", file)
    monkeypatch.setattr(jax, "__version_info__", version)
    assert products.multiplies_bfloat16.__wrapped__() == fast  # what is cached is this machine's


@pytest.mark.parametrize(
    ("limit", "fast"),
    [("", True), ("avx2", False), ("AVX512_VNNI", False), ("AVX512_BF16", True), ("AMX", True)],
)
def test_a_user_can_tell_xla_to_leave_it_out(
    limit: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 2))
    monkeypatch.setattr(products, "processor_flags", lambda: ["amx_bf16", "avx512_bf16"])
    monkeypatch.setenv("XLA_FLAGS", f"--a=1 --xla_cpu_max_isa={limit}" if limit else "--a=1")
    assert products.multiplies_bfloat16.__wrapped__() == fast


@pytest.mark.parametrize("fast", [False, True])
def test_the_choice_is_in_the_program(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from what is compiled for a CPU: factors of bfloat16, or widened ones."""
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda: fast)
    x, kernel = normal(0, 4, 32, dtype="bfloat16"), normal(1, 32, 8, dtype="bfloat16")
    traced = jax.jit(lambda x, kernel: products.product(x, kernel)).trace(x, kernel)
    text = traced.lower(lowering_platforms=("cpu",)).as_text()
    (line,) = (line for line in text.splitlines() if "dot_general" in line)
    assert ("xbf16>, tensor" in line) == fast
    assert line.rstrip().endswith("tensor<4x8xf32>")
