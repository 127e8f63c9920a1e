"""The random stream against PyTorch itself, for any sequence of sizes and any seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kandinsky_core.denoising.generator import Generator
from kandinsky_core.denoising.noise import as_generators, draw_normal
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")

# PyTorch's logarithm and cosine are vectorised.
TOLERANCE = allowed("randn")

sizes = st.one_of(st.integers(0, 40), st.integers(0, 4000), st.just(2**15 + 17))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(-(2**63), 2**64 - 1), draws=st.lists(sizes, min_size=1, max_size=8))
@example(seed=0, draws=[1, 16, 1, 15, 17, 0, 3, 31, 2])
@example(seed=-1, draws=[3, 2**17 + 5, 2])
def test_any_sequence_of_draws(seed: int, draws: list[int]) -> None:
    ours, theirs = Generator(seed), torch.Generator().manual_seed(seed)
    assert ours.initial_seed() == theirs.initial_seed()
    for size in draws:
        expected = torch.randn(size, generator=theirs).numpy()
        np.testing.assert_allclose(ours.randn(size), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(), (1, 1), (2, 4, 8, 8), (1, 768), (3, 5, 7)])
def test_shapes(shape: tuple[int, ...]) -> None:
    expected = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(12))
    drawn = Generator("cpu").manual_seed(12).randn(shape)
    assert drawn.shape == tuple(expected.shape)
    np.testing.assert_allclose(drawn, expected.numpy(), rtol=0, atol=TOLERANCE)


def test_default_seed() -> None:
    assert Generator().initial_seed() == torch.Generator().initial_seed()


def test_torch_shape_and_device_objects() -> None:
    drawn = Generator(device=torch.device("cpu")).manual_seed(2).randn(torch.Size([2, 9]))
    expected = torch.randn(2, 9, generator=torch.Generator().manual_seed(2)).numpy()
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=TOLERANCE)


def test_a_pytorch_generator_draws_itself_and_runs_on() -> None:
    theirs, twin = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    torch.randn(5, generator=theirs)
    torch.randn(5, generator=twin)
    source = as_generators(theirs, None, 2)
    assert (source.seeds, source.fresh) == ((4,), False)
    expected = torch.randn(2, 9, generator=twin).numpy()
    np.testing.assert_array_equal(draw_normal(source.generators, (2, 9)), expected)
    assert torch.equal(theirs.get_state(), twin.get_state())


def test_pytorch_generators_one_for_each_picture() -> None:
    source = as_generators([torch.Generator().manual_seed(1), 2], None, 2)
    rows = draw_normal(source.generators, (2, 40))
    for row, seed in zip(rows, (1, 2), strict=True):
        expected = torch.randn(40, generator=torch.Generator().manual_seed(seed)).numpy()
        np.testing.assert_allclose(row, expected, atol=TOLERANCE)
