"""The PyTorch stream, against values that torch 2.13.0 printed; no torch is needed here."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from kandinsky_core.denoising.generator import DEFAULT_SEED, Generator
from kandinsky_core.errors import InvalidInputError

# seed: three values drawn alone, then places 0, 1, 15, 16, 17 of a draw of 18, then two more
PRINTED_BY_TORCH = {
    0: (
        [1.540996, -0.293429, -2.178789],
        [-0.356128, 0.437223, -2.316042, -0.10231, 0.792444],
        [0.568431, -0.214186],
    ),
    -1: (
        [1.219763, -0.392979, 1.023075],
        [0.414255, -0.313725, -0.047032, 1.03926, -0.998431],
        [-0.373421, 1.269437],
    ),
    2**40 + 7: (
        [-0.146795, 0.786141, 0.946822],
        [-0.176438, 1.750172, 1.405853, -1.401251, 1.297336],
        [-1.114344, 0.973208],
    ),
}


@pytest.mark.parametrize("seed", PRINTED_BY_TORCH)
def test_stream_equals_torch(seed: int) -> None:
    small, large, after = PRINTED_BY_TORCH[seed]
    generator = Generator(seed)
    np.testing.assert_allclose(generator.randn(3), small, atol=1e-6)
    np.testing.assert_allclose(
        generator.randn((3, 6)).ravel()[[0, 1, 15, 16, 17]], large, atol=1e-6
    )
    np.testing.assert_allclose(generator.randn([2]), after, atol=1e-6)


def test_result_is_float32_of_the_shape_asked_for() -> None:
    generator = Generator(0)
    for shape in [(), (0,), (3, 0, 2), (1, 1), (2, 3, 5)]:
        drawn = generator.randn(shape)
        assert drawn.shape == shape
        assert drawn.dtype == np.float32


def test_empty_draw_takes_nothing() -> None:
    touched, fresh = Generator(5), Generator(5)
    touched.randn((0, 4))
    np.testing.assert_array_equal(touched.randn(40), fresh.randn(40))


def test_manual_seed_forgets_the_spare_normal() -> None:
    generator = Generator(1)
    generator.randn(1)
    np.testing.assert_array_equal(generator.manual_seed(1).randn(2), Generator(1).randn(2))


def test_numbers_are_standard_normal() -> None:
    drawn = Generator(11).randn(200_000)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01


def test_spellings_of_torch_users() -> None:
    assert Generator().initial_seed() == DEFAULT_SEED == 67280421310721
    for made in (Generator("cpu"), Generator(device="cpu")):
        assert made.device == "cpu"
        assert made.manual_seed(3) is made
        assert made.initial_seed() == 3


def test_negative_seed_reads_as_unsigned() -> None:
    assert Generator(-1).initial_seed() == 2**64 - 1
    assert Generator(-(2**63)).initial_seed() == 2**63


def test_seed_starts_a_fresh_stream() -> None:
    generator = Generator(0)
    seed = generator.seed()
    assert seed == generator.initial_seed() != Generator(0).seed()
    np.testing.assert_array_equal(generator.randn(20), Generator(seed).randn(20))


def test_copy_continues_on_its_own() -> None:
    generator = Generator(9)
    generator.randn(21)
    twin = copy.deepcopy(generator)
    np.testing.assert_array_equal(twin.randn(33), generator.randn(33))


@pytest.mark.parametrize("seed", [1.5, True, None, 2**64, -(2**63) - 1])
def test_bad_seed_is_named(seed: object) -> None:
    with pytest.raises(InvalidInputError, match="seed="):
        Generator(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cuda", "npu:0"])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(InvalidInputError, match=device):
        Generator(device=device)
    with pytest.raises(InvalidInputError, match=device):
        Generator(device)


@pytest.mark.parametrize("shape", [-1, (2, -3), (1.0, 2), "16"])
def test_bad_shape_is_named(shape: object) -> None:
    with pytest.raises(InvalidInputError, match="shape="):
        Generator(0).randn(shape)  # type: ignore[arg-type]
