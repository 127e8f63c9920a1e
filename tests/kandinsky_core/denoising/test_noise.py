"""Whose noise goes where in a batch, and what `generator=` and `seed=` accept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.denoising.generator import Generator
from kandinsky_core.denoising.noise import as_generators, draw_normal
from kandinsky_core.errors import InvalidInputError


def test_one_generator_draws_the_batch_at_once() -> None:
    np.testing.assert_array_equal(
        draw_normal(Generator(4), (3, 2, 8)), Generator(4).randn((3, 2, 8))
    )


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("inner", [(2,), (4, 5, 3)])
def test_each_picture_gets_the_noise_it_would_get_alone(
    groups: int, inner: tuple[int, ...]
) -> None:
    seeds = [7, 0, 2**33]
    batch = draw_normal([Generator(seed) for seed in seeds], (3 * groups, *inner), groups)
    assert batch.shape == (3 * groups, *inner)
    for index, seed in enumerate(seeds):
        alone = draw_normal([Generator(seed)], (groups, *inner), groups)
        np.testing.assert_array_equal(batch[index::3], alone)


def test_rows_must_fit_the_generators() -> None:
    with pytest.raises(InvalidInputError, match=r"2 generators with groups=2 cannot fill 3 rows"):
        draw_normal([Generator(0), Generator(1)], (3, 8), groups=2)
    with pytest.raises(InvalidInputError, match="0 generators"):
        draw_normal([], (0, 8))


@pytest.mark.parametrize(
    ("generator", "seed", "seeds"),
    [
        (None, 5, (5,)),
        (5, None, (5,)),
        (None, np.int64(5), (5,)),
        (None, -1, (2**64 - 1,)),
        (Generator(5), None, (5,)),
        (None, [1, 2], (1, 2)),
        (None, range(1, 3), (1, 2)),
        ((Generator(1), 2), None, (1, 2)),
    ],
)
def test_accepted_arguments(generator: Any, seed: Any, seeds: tuple[int, ...]) -> None:
    made = as_generators(generator, seed, 2)
    assert made.seeds == seeds
    many = made.generators if isinstance(made.generators, tuple) else (made.generators,)
    assert tuple(one.initial_seed() for one in many) == seeds
    assert isinstance(made.generators, tuple) == (len(seeds) == 2)


def test_a_list_of_one_stays_a_list() -> None:
    assert isinstance(as_generators(None, [3], 1).generators, tuple)


def test_a_generator_is_passed_on_with_its_state() -> None:
    generator = Generator(5)
    assert as_generators(generator, None, 1).generators is generator


def test_without_seed_a_fresh_one_is_recorded() -> None:
    first, second = as_generators(None, None, 1), as_generators(None, None, 1)
    assert first.seeds != second.seeds
    assert isinstance(first.generators, Generator)
    np.testing.assert_array_equal(first.generators.randn(16), Generator(first.seeds[0]).randn(16))


class _TorchLike:
    def initial_seed(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("generator", "seed", "message"),
    [
        (1, 2, "both given"),
        (None, [1, 2, 3], r"seed has 3 entries for 2 images"),
        ([Generator(0)], None, r"generator has 1 entries for 2 images"),
        (None, [], r"seed has 0 entries"),
        (True, None, "generator=True"),
        (None, [1, False], "seed=False"),
        (None, "cpu", "seed='cpu'"),
        (None, 1.0, "seed=1.0"),
        (_TorchLike(), None, r"kandinsky_core\.Generator"),
        ([_TorchLike(), 1], None, r"kandinsky_core\.Generator"),
    ],
)
def test_refused_arguments(generator: Any, seed: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        as_generators(generator, seed, 2)
