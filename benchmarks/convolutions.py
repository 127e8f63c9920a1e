"""The 3 x 3 convolutions of the full-size 2.2 UNet on JAX: XLA's own, and those of `winograd`.

    python -m benchmarks.convolutions --size 512

By resolution, with the guidance batch of two, in float32. Of each shape the fastest of some calls
counts, as often as the shape occurs in one step.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.full_size import CASES, component

Shape = tuple[int, int, int]  # rows and columns, channels in, channels out


def shapes(size: int) -> Counter[Shape]:
    """Count the convolutions of a step by their shapes."""
    config = component(CASES["unet"].component, "2.2").config
    return Counter(_shapes(config["block_out_channels"], config["layers_per_block"], size // 8))


def _shapes(widths: list[int], layers: int, side: int) -> Iterator[Shape]:
    skips, width = [widths[0]], widths[0]
    for level, wide in enumerate(widths):
        for _ in range(layers):
            yield from _block(side, width, wide)
            width = wide
            skips.append(width)
        if level < len(widths) - 1:
            side //= 2
            yield from _block(side, width, width)
            skips.append(width)
    yield from _block(side, width, width)
    yield from _block(side, width, width)
    for level, wide in enumerate(reversed(widths)):
        for _ in range(layers + 1):
            yield from _block(side, width + skips.pop(), wide)
            width = wide
        if level < len(widths) - 1:
            side *= 2
            yield from _block(side, width, width)


def _block(side: int, width: int, wide: int) -> Iterator[Shape]:
    yield side, width, wide
    yield side, wide, wide


def measure(shape: Shape, repeats: int) -> tuple[float, float]:
    """Return the seconds of either way."""
    import jax
    import jax.numpy as jnp

    from backends.jax.winograd import convolve_tiles, kernel_to_tiles

    side, width, wide = shape
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, side, side, width), np.float32))
    kernel = jnp.asarray(rng.standard_normal((3, 3, width, wide), np.float32))

    def plain(x: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            [(1, 1)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )

    tiles = jax.jit(kernel_to_tiles)(kernel)
    return _fastest(plain, x, kernel, repeats), _fastest(convolve_tiles, x, tiles, repeats)


def _fastest(function: Any, x: Any, kernel: Any, repeats: int) -> float:
    import jax

    compiled = jax.jit(function)
    found = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(compiled(x, kernel))
        found.append(time.perf_counter() - start)
    return min(found[1:])


def main() -> None:
    """Print a table."""
    import jax

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side (512)")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows: dict[int, list[float]] = defaultdict(lambda: [0.0] * 4)
    for shape, count in sorted(shapes(options.size).items(), reverse=True):
        side, width, wide = shape
        plain, tiled = measure(shape, options.repeats)
        weights = 9 * width * wide
        added = (plain, tiled, 4 * side**2 * weights / 1e12, weights / 1e6)
        rows[side] = [old + count * new for old, new in zip(rows[side], added, strict=True)]
    sys.stdout.write(f"JAX {jax.__version__}, {options.size} pixels, float32, one guided step\n")
    sys.stdout.write(f"{'cells':>6}{'XLA, s':>9}{'tiles, s':>10}{'TFLOP':>8}{'weights, M':>12}\n")
    for side, (plain, tiled, work, weights) in rows.items():
        sys.stdout.write(f"{side:>6}{plain:>9.2f}{tiled:>10.2f}{work:>8.2f}{weights:>12.0f}\n")
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    sys.stdout.write(
        f"{'all':>6}{total[0]:>9.2f}{total[1]:>10.2f}{total[2]:>8.2f}{total[3]:>12.0f}\n"
    )


if __name__ == "__main__":
    main()
