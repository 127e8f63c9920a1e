"""Has MindSpore's compiler make the graphs of our networks for Ascend, and counts what is in them.

    python -m benchmarks.ascend
    python -m benchmarks.ascend --parts "2.2 unet" --sizes 512 768 --layers 2
    python -m benchmarks.ascend --parts "2.2 unet" --earlier

It needs MindSpore and no NPU. The graphs are those of the compiler's front end, which every device
shares: nothing runs, nothing is measured, and which kernels a device takes is not told. Networks
are in their published size and have no weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path

from kandinsky_mindspore.runtime import load_mindspore

try:
    load_mindspore()
except ImportError as error:
    raise SystemExit(f'{error}; this needs MindSpore: pip install -e ".[mindspore]"') from None

from benchmarks.ascend.forms import earlier_forms
from benchmarks.ascend.operators import without_kernel
from benchmarks.ascend.programs import PROGRAMS, dtype_of, graph_of
from benchmarks.ascend.reading import Sums, by_layer, count
from kandinsky_mindspore.placement.devices import select_device

_SHOWN = 12


def main() -> None:
    """Print a table, and perhaps write what it was made from."""
    options = _options()
    select_device("cpu")
    found, operators = [], set()
    for name, size in _wanted(options):
        start = time.process_time()
        dtype = dtype_of(PROGRAMS[name], options.dtype)
        with earlier_forms() if options.earlier else nullcontext():
            nodes = graph_of(PROGRAMS[name], options.dtype, size)
        sums = count(nodes)
        words = f"{name}, {size} px" if PROGRAMS[name].sized else name
        row = {
            "program": words,
            "dtype": dtype,
            "earlier": options.earlier,
            "operators": dict(sums.operators),
            "casts": sums.casts,
            "transposes": sums.transposes,
            "reshapes": sums.reshapes,
            "slices": sums.slices,
            "wide": sums.wide,
        }
        found.append(row)
        operators |= set(sums.operators)
        seconds = time.process_time() - start
        sys.stdout.write(f"{words}, {dtype}: told by MindSpore's compiler\n")
        sys.stdout.write("\n".join(_lines(sums)) + f"\n  traced in {seconds:.0f} s\n")
        if options.layers:
            sys.stdout.write("\n".join(_layer_lines(by_layer(nodes, options.layers))) + "\n")
        sys.stdout.flush()
        if options.json:
            options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if options.operators:
        options.operators.write_text("\n".join(sorted(operators)) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[512], metavar="PX")
    # In bfloat16 MindSpore folds a constant by a kernel that a CPU does not have.
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument(
        "--layers", type=int, default=0, metavar="N", help="list layers, by N parts of their names"
    )
    parser.add_argument(
        "--earlier", action="store_true", help="with attention in the layout that it had before"
    )
    parser.add_argument("--operators", type=Path, metavar="FILE", help="write operators' names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args()


def _wanted(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    for name, size in product(options.parts, options.sizes):
        if PROGRAMS[name].sized or size == options.sizes[0]:
            yield name, size


def _lines(sums: Sums) -> Iterator[str]:
    yield (
        f"  {sums.kernels} operators beside {sums.reshapes} reshapes: {sums.casts} casts, "
        f"{sums.transposes} transposes, {sums.slices} slices, {len(sums.wide)} in float32"
    )
    kinds = ", ".join(f"{count} {name}" for name, count in sums.operators.most_common())
    yield f"  kinds    {kinds}"
    unknown = without_kernel(sums.operators)
    yield f"  unknown  {', '.join(unknown) or 'none: each operator has a kernel on Ascend'}"
    for line in sums.wide[:_SHOWN]:
        yield f"  float32  {line}"
    if len(sums.wide) > _SHOWN:
        yield f"  float32  and {len(sums.wide) - _SHOWN} more"


def _layer_lines(layers: dict[str, Sums]) -> Iterator[str]:
    yield f"  {'layer':<48} operators  casts  transposes  slices  float32"
    for layer, sums in layers.items():
        if sums.operators:
            yield (
                f"  {layer or '(none)':<48}{sums.kernels:10}{sums.casts:7}{sums.transposes:12}"
                f"{sums.slices:8}{len(sums.wide):9}"
            )


if __name__ == "__main__":
    main()
