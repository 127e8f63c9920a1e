"""Compiles blocks of the full-size 2.2 UNet for a v5e, as they were and as they are.

    python -m benchmarks.tpu.blocks

A block takes the compiler a minute at most, and so shows what a change brings. Figures are the
compiler's for a guided step in bfloat16: nothing runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.tpu.compiled_text import parse
from benchmarks.tpu.forms import earlier_forms
from benchmarks.tpu.libtpu import prepare
from benchmarks.tpu.places import far_place
from benchmarks.tpu.reading import read, total
from kandinsky_jax.layers.attention import attend, merge_heads, split_heads
from kandinsky_jax.layers.layers import Conv, GroupNorm, Layers, Linear, silu
from kandinsky_jax.programs.compiler_options import compile_lowered, compiler_options

LAYERS = Layers(dtype=jnp.bfloat16, param_dtype=jnp.bfloat16, attend=attend)
ROWS, TOKENS, WIDTH = 2, 32, 64


class Convolutions(nnx.Module):
    """A group norm between two convolutions."""

    def __init__(self, channels: int) -> None:
        self.first = Conv(channels, channels, kernel=3, padding=1, layers=LAYERS)
        self.norm = GroupNorm(channels, groups=32, epsilon=1e-5, layers=LAYERS)
        self.second = Conv(channels, channels, kernel=3, padding=1, layers=LAYERS)

    def __call__(self, x: Any) -> Any:
        return self.second(silu(self.norm(self.first(x))))


class Attention(nnx.Module):
    """Attention of pixels to each other and to 32 tokens, with its four projections."""

    def __init__(self, channels: int) -> None:
        self.heads = channels // WIDTH
        self.inner = nnx.List([Linear(channels, channels, layers=LAYERS) for _ in range(3)])
        self.outer = Linear(channels, channels, layers=LAYERS)

    def __call__(self, x: Any, key: Any, value: Any) -> Any:
        query, own_key, own_value = (split_heads(part(x), self.heads) for part in self.inner)
        key = jnp.concatenate([key, own_key], axis=1)
        value = jnp.concatenate([value, own_value], axis=1)
        return self.outer(merge_heads(attend(query, key, value))) + x


def _attention(side: int, channels: int) -> tuple[Callable[[], Any], tuple[Any, ...]]:
    token = (ROWS, TOKENS, channels // WIDTH, WIDTH)
    return lambda: Attention(channels), ((ROWS, side * side, channels), token, token)


CASES = {
    "norm between convolutions, 64 x 64 x 384": (
        lambda: Convolutions(384),
        ((ROWS, 64, 64, 384),),
    ),
    "attention, 1024 pixels (512 px)": _attention(32, 768),
    "attention, 4096 pixels (1024 px)": _attention(64, 768),
}


def compiled(make: Callable[[], Any], shapes: tuple[Any, ...]) -> Any:
    """Compile a block for one v5e."""
    place = far_place("v5e")
    graph, state = nnx.split(nnx.eval_shape(make))
    where = jax.sharding.SingleDeviceSharding(place.device)

    def here(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    given = [jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=where) for shape in shapes]

    def run(weights: Any, *inputs: Any) -> Any:
        return nnx.merge(graph, weights)(*inputs)

    lowered = jax.jit(run).lower(jax.tree.map(here, state), *given)
    return compile_lowered(lowered, compiler_options(place.device, state))


def main() -> None:
    """Print a table."""
    prepare()
    sys.stdout.write(f"{'':49}M cycles  MB of main memory  MB held  operations\n")
    for name, case in CASES.items():
        for words, forms in (("earlier", earlier_forms()), ("now", nullcontext())):
            with forms:
                made = compiled(*case)
            sums = total(read(parse(made.as_text())))
            held = made.memory_analysis().temp_size_in_bytes
            sys.stdout.write(
                f"{name:41}{words:8}{sums.cycles / 1e6:8.2f}{sums.traffic / 1e6:19.1f}"
                f"{held / 1e6:9.1f}{sums.operations:12.0f}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
