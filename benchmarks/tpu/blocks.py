"""Compiles blocks of the full-size 2.2 networks for a v5e, in each of their forms.

    python -m benchmarks.tpu.blocks
    python -m benchmarks.tpu.blocks --cases attention-1024 --forms pieces now --hlo programs

`earlier` is the form that a TPU had at first, `pieces` keeps scores on the chip, `kernel` is the
flash kernel, and `now` is what a TPU takes: the kernel where pixels are many, otherwise `pieces`. A
block takes the compiler a minute at most, and so shows what a change brings. Figures are the
compiler's: nothing runs. Its model gives a kernel no cycles, and what goes in and out counts once.
With `--dump` it writes down the instructions of the kernel, and those within its inner loop are
counted too: see "Attention kernels" in docs/accelerators.md.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from benchmarks.tpu.compiled_text import parse
from benchmarks.tpu.forms import earlier_forms
from benchmarks.tpu.libtpu import prepare
from benchmarks.tpu.places import far_place
from benchmarks.tpu.reading import read, total
from kandinsky_jax.layers import attention_kernels
from kandinsky_jax.layers.attention import attention_of, merge_heads, split_heads
from kandinsky_jax.layers.layers import Conv, GroupNorm, Layers, Linear, silu
from kandinsky_jax.layers.platforms import tracing_for
from kandinsky_jax.programs.compiler_options import compile_lowered, compiler_options

ROWS, TOKENS, WIDTH = 2, 32, 64


class Convolutions(nnx.Module):
    """A group norm between two convolutions."""

    def __init__(self, channels: int, layers: Layers) -> None:
        self.first = Conv(channels, channels, kernel=3, padding=1, layers=layers)
        self.norm = GroupNorm(channels, groups=32, epsilon=1e-5, layers=layers)
        self.second = Conv(channels, channels, kernel=3, padding=1, layers=layers)

    def __call__(self, x: Any) -> Any:
        return self.second(silu(self.norm(self.first(x))))


class Attention(nnx.Module):
    """Attention of pixels to each other and to tokens, if there are some, with projections."""

    def __init__(self, channels: int, width: int, layers: Layers) -> None:
        self.heads = channels // width
        self.inner = nnx.List([Linear(channels, channels, layers=layers) for _ in range(3)])
        self.outer = Linear(channels, channels, layers=layers)
        self.attend = layers.attend

    def __call__(self, x: Any, *tokens: Any) -> Any:
        query, *own = (split_heads(part(x), self.heads) for part in self.inner)
        if tokens:
            own = [jnp.concatenate(pair, axis=1) for pair in zip(tokens, own, strict=True)]
        return self.outer(merge_heads(self.attend(query, *own))) + x


@dataclass(frozen=True, slots=True)
class Case:
    """A block.

    Attributes:
        words: What the table calls it.
        make: Makes its module.
        shapes: Of its inputs.
        dtype: What it computes in.
    """

    words: str
    make: Callable[[Layers], Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str = "bfloat16"


def _of_unet(side: int, channels: int, rows: int = ROWS) -> Case:
    token = (rows, TOKENS, channels // WIDTH, WIDTH)
    return Case(
        f"attention, {side * side} pixels ({16 * side} px)",
        lambda layers: Attention(channels, WIDTH, layers),
        ((rows, side * side, channels), token, token),
    )


def _of_movq(side: int, channels: int) -> Case:
    return Case(
        f"MoVQ's attention, {side * side} cells ({8 * side} px)",
        lambda layers: Attention(channels, channels, layers),
        ((1, side * side, channels),),
        dtype="float32",
    )


CASES = {
    "norm": Case(
        "norm between convolutions, 64 x 64 x 384",
        lambda layers: Convolutions(384, layers),
        ((ROWS, 64, 64, 384),),
    ),
    "attention-512": _of_unet(32, 768),
    "attention-640": _of_unet(40, 768),
    "attention-768": _of_unet(48, 768),
    "attention-1024": _of_unet(64, 768),
    "two-heads-1024": _of_unet(64, 2 * WIDTH, rows=1),
    "movq-384": _of_movq(48, 512),
    "movq-1024": _of_movq(128, 512),
}


@contextmanager
def _kernels_for_all() -> Iterator[None]:
    usual = attention_kernels.MANY_QUERIES
    attention_kernels.MANY_QUERIES = 1
    try:
        yield
    finally:
        attention_kernels.MANY_QUERIES = usual


FORMS: Mapping[str, tuple[Callable[[], AbstractContextManager[None]], str | None]] = {
    "earlier": (earlier_forms, "plain"),
    "pieces": (nullcontext, "plain"),
    "kernel": (_kernels_for_all, None),
    "now": (nullcontext, None),
}
"""How each form is traced, and the choice of attention."""


def compiled(case: Case, form: str) -> Any:
    """Compile a block for one v5e."""
    place = far_place("v5e")
    context, choice = FORMS[form]
    dtype = jnp.dtype(case.dtype)
    layers = Layers(dtype=dtype, param_dtype=dtype, attend=attention_of(choice))
    graph, state = nnx.split(nnx.eval_shape(lambda: case.make(layers)))
    where = jax.sharding.SingleDeviceSharding(place.device)

    def here(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    given = [jax.ShapeDtypeStruct(shape, dtype, sharding=where) for shape in case.shapes]

    def run(weights: Any, *inputs: Any) -> Any:
        return nnx.merge(graph, weights)(*inputs)

    with context(), tracing_for(place.target):
        lowered = jax.jit(run).lower(jax.tree.map(here, state), *given)
        return compile_lowered(lowered, compiler_options(place.device, state))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    usual = ["norm", "attention-512", "attention-1024"]
    parser.add_argument("--cases", nargs="+", choices=CASES, default=usual, metavar="CASE")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["earlier", "pieces", "now"])
    parser.add_argument("--hlo", type=Path, metavar="DIR", help="write the compiled programs")
    parser.add_argument("--dump", type=Path, metavar="DIR", help="count a kernel's instructions")
    return parser.parse_args()


def bundles(text: str) -> dict[int, int]:
    """Count the bundles of instructions, about one a cycle, by the loops that they are within.

    Args:
        text: What the compiler wrote as `final_bundles`: a line for each, with `>` for each loop.
    """
    found: dict[int, int] = {}
    for line in text.splitlines():
        if match := re.match(r"\s*0x[0-9a-f]+\s+(?:\w+)?: (>*)\s*\{", line):
            found[len(match[1])] = found.get(len(match[1]), 0) + 1
    return found


def _kernel_lines(dump: Path) -> list[str]:
    return [
        f"  kernel: {inner} bundles in its inner loop, {outer} in the loop around it\n"
        for file in sorted(dump.glob("*flash_attention*-final_bundles.txt"))
        for counts in [bundles(file.read_text(encoding="utf-8", errors="replace"))]
        for outer, inner in [(counts.get(1, 0), counts.get(2, 0))]
    ]


def main() -> None:
    """Print a table."""
    options = _arguments()
    if options.dump:  # libtpu reads this once
        dump = f"--xla_jf_dump_to={options.dump} --xla_jf_dump_llo_text=true"
        os.environ["LIBTPU_INIT_ARGS"] = f"{os.environ.get('LIBTPU_INIT_ARGS', '')} {dump}"
    prepare()
    sys.stdout.write(f"{'':49}M cycles  MB of main memory  MB held  operations\n")
    for name in options.cases:
        case = CASES[name]
        for form in options.forms:
            made = compiled(case, form)
            if options.hlo:
                options.hlo.mkdir(parents=True, exist_ok=True)
                (options.hlo / f"{name}-{form}.hlo").write_text(made.as_text(), encoding="utf-8")
            sums = total(read(parse(made.as_text())))
            held = made.memory_analysis().temp_size_in_bytes
            sys.stdout.write(
                f"{case.words:41}{form:8}{sums.cycles / 1e6:8.2f}{sums.traffic / 1e6:19.1f}"
                f"{held / 1e6:9.1f}{sums.operations:12.0f}\n"
            )
            sys.stdout.flush()
    if options.dump:
        sys.stdout.writelines(_kernel_lines(options.dump))


if __name__ == "__main__":
    main()
