"""Compares XLA's 3 x 3 convolutions with `winograd`, in the full-size 2.2 UNet on JAX.

    python -m benchmarks.convolutions --size 512 --dtype bfloat16

The table has a row for each resolution, with the guidance batch of two. For each shape the fastest
of some calls counts, as often as the shape occurs in one step.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.full_size import CASES, component
from benchmarks.timing import fastest

# Rows (and columns) of the result, channels in, channels out, whether the picture is doubled first.
Shape = tuple[int, int, int, bool]


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
            yield from _block(side, width, width, doubled=True)


def _block(side: int, width: int, wide: int, *, doubled: bool = False) -> Iterator[Shape]:
    yield side, width, wide, doubled
    yield side, wide, wide, False


def measure(shape: Shape, dtype: str, lowest: int, repeats: int) -> tuple[float, float]:
    """Return the seconds of XLA's form and of ours.

    Args:
        shape: The shape of the convolution.
        dtype: The dtype of kernel and pictures.
        lowest: Rows of the level that keeps its kernels.
        repeats: Calls that are timed.
    """
    from kandinsky_jax.layers.attention import attend
    from kandinsky_jax.layers.layers import Layers

    def layers(tiled: bool) -> Layers:
        return Layers(dtype=dtype, param_dtype=dtype, attend=attend, tiled=tiled)

    ours = layers(True).untiled() if shape[0] == lowest else layers(True)
    return _seconds(shape, layers(False), repeats), _seconds(shape, ours, repeats)


def _seconds(shape: Shape, layers: Any, repeats: int) -> float:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from kandinsky_jax.layers.layers import Conv

    side, width, wide, doubled = shape
    rng = np.random.default_rng(0)
    conv = Conv(width, wide, kernel=3, padding=1, doubled=doubled, layers=layers)
    graph, state = nnx.split(conv)

    def random(*shape: int) -> Any:
        return jnp.asarray(rng.standard_normal(shape, np.float32), layers.dtype)

    weights = jax.tree.map(lambda leaf: random(*leaf.shape), state)
    given = side // 2 if doubled else side
    x = random(2, given, given, width)
    compiled = jax.jit(lambda weights, x: nnx.merge(graph, weights)(x))
    return fastest(lambda: jax.block_until_ready(compiled(weights, x)), repeats)


def main() -> None:
    """Print a table."""
    import jax

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side (512)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows: dict[int, list[float]] = defaultdict(lambda: [0.0] * 4)
    counts = shapes(options.size)
    lowest = min(side for side, *_ in counts)
    for shape, count in sorted(counts.items(), reverse=True):
        side, width, wide, _ = shape
        plain, tiled = measure(shape, options.dtype, lowest, options.repeats)
        weights = 9 * width * wide
        added = (plain, tiled, 4 * side**2 * weights / 1e12, weights / 1e6)
        rows[side] = [old + count * new for old, new in zip(rows[side], added, strict=True)]
    sys.stdout.write(
        f"JAX {jax.__version__}, {options.size} pixels, {options.dtype}, one guided step\n"
    )
    sys.stdout.write(f"{'cells':>6}{'XLA, s':>9}{'tiles, s':>10}{'TFLOP':>8}{'weights, M':>12}\n")
    for side, (plain, tiled, work, weights) in rows.items():
        sys.stdout.write(f"{side:>6}{plain:>9.2f}{tiled:>10.2f}{work:>8.2f}{weights:>12.0f}\n")
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    sys.stdout.write(
        f"{'all':>6}{total[0]:>9.2f}{total[1]:>10.2f}{total[2]:>8.2f}{total[3]:>12.0f}\n"
    )


if __name__ == "__main__":
    main()
