"""Compiles programs of the full-size models for TPUs, on a CPU, and prints what the compiler tells.

    JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 TPU_WORKER_HOSTNAMES=localhost \\
        python -m benchmarks.tpu --parts "2.2 unet" --chips v5e --sizes 512

It needs libtpu (the extra `tpu-compile`) and no TPU. Nothing runs, so no figure is measured: all
are the compiler's, of one chip. A UNet at full size takes it a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.tpu.chips import CHIPS, arithmetic_floor
from benchmarks.tpu.compiled_text import parse
from benchmarks.tpu.forms import earlier_forms
from benchmarks.tpu.libtpu import prepare
from benchmarks.tpu.places import TOPOLOGIES, far_place
from benchmarks.tpu.programs import PARTS, compile_part, form_of
from benchmarks.tpu.reading import Sums, read, total, weight_copies, wide_products
from benchmarks.tpu.table import table
from kandinsky_core.errors import DeviceMemoryError

PICTURES = {None: 1, "data": 4, "model": 1}


def main() -> None:
    """Print a table, and perhaps write what it was made from."""
    options = _options()
    if options.table:
        sys.stdout.write("\n".join(table(_known(options.json))) + "\n")
        return
    prepare()
    found = _known(options.json)
    done = {(row["program"], row["chip"]) for row in found}
    for name, chip, axis, size in _wanted(options):
        words = _words(options, name, axis, size)
        if (words, chip) not in done:
            found.append(_told_or_refused(options, words, (name, chip, axis, size)))
            if options.json:
                options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _known(file: Path | None) -> list[dict[str, Any]]:
    """Return the rows that an earlier run wrote."""
    if file is None or not file.exists():
        return []
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _words(options: argparse.Namespace, name: str, axis: str | None, size: int) -> str:
    """Return what tells a program from all others of a table."""
    words = f"{name}, {size} px" if PARTS[name].sized else name
    for part in (
        "" if options.dtype == "bfloat16" else options.dtype,
        options.quantize,
        f"{axis}=4" if axis else "",
        "earlier forms" if options.earlier else "",
    ):
        words += f", {part}" if part else ""
    return words


def _told_or_refused(
    options: argparse.Namespace, words: str, wanted: tuple[str, str, str | None, int]
) -> dict[str, Any]:
    """Return what the compiler tells of a program, or that it takes more than the chip has."""
    try:
        return _told(options, words, wanted)
    except DeviceMemoryError as error:
        chip = wanted[1]
        sys.stdout.write(f"{words}, {chip}: does not fit\n  {error}\n")
        sys.stdout.flush()
        return {"program": words, "chip": chip, "refused": str(error)}


def _told(
    options: argparse.Namespace, words: str, wanted: tuple[str, str, str | None, int]
) -> dict[str, Any]:
    """Compile a program, print what the compiler tells of it, and return that."""
    name, chip, axis, size = wanted
    with earlier_forms() if options.earlier else nullcontext():
        made = compile_part(
            PARTS[name],
            far_place(chip, axis),
            size=size,
            pictures=PICTURES[axis],
            dtype=options.dtype,
            quantize=options.quantize,
        )
    if options.hlo:
        options.hlo.mkdir(parents=True, exist_ok=True)
        file = options.hlo / f"{chip} {words}.hlo".replace(" ", "_").replace(",", "")
        file.write_text(made.text, encoding="utf-8")
    program = parse(made.text)
    layers = read(program, options.layers)
    sums = total(layers)
    in_float32 = form_of(PARTS[name], options.dtype).dtype == "float32"
    row = {
        "program": words,
        "chip": chip,
        "arguments": made.memory.argument_size_in_bytes,
        "temporaries": made.memory.temp_size_in_bytes,
        "code": made.memory.generated_code_size_in_bytes,
        "flops": made.flops,
        "compile_seconds": made.seconds,
        "weight_copies": weight_copies(program),
        "wide_products": [] if in_float32 else wide_products(program),
        **asdict(sums),
    }
    sys.stdout.write("\n".join(_lines(row, sums)) + "\n")
    if options.layers:
        sys.stdout.write("\n".join(_layer_lines(layers)) + "\n")
    sys.stdout.flush()
    return row | {"layers": {layer: asdict(each) for layer, each in layers.items()}}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["shapes unet"])
    parser.add_argument("--chips", nargs="+", choices=TOPOLOGIES, default=["v5e"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[512], metavar="PX")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--quantize", choices=("int8",), help="keep weights in 8 bits")
    parser.add_argument(
        "--axes",
        nargs="+",
        choices=("none", "data", "model"),
        default=["none"],
        help="one chip (none), or four along an axis of the mesh",
    )
    parser.add_argument(
        "--layers", type=int, default=0, metavar="N", help="list layers, by N parts of their names"
    )
    parser.add_argument(
        "--earlier", action="store_true", help="with the forms that a TPU had before"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all figures there, and compile no program that it has already",
    )
    parser.add_argument(
        "--table", action="store_true", help="compile nothing: print the tables of --json FILE"
    )
    parser.add_argument("--hlo", type=Path, metavar="DIR", help="write the compiled programs")
    options = parser.parse_args()
    if options.table and not (options.json and options.json.is_file()):
        parser.error("--table prints what --json FILE holds: name a file that an earlier run wrote")
    return options


def _wanted(options: argparse.Namespace) -> Iterator[tuple[str, str, str | None, int]]:
    for name, chip, axis in product(options.parts, options.chips, options.axes):
        for size in options.sizes if PARTS[name].sized else options.sizes[:1]:
            yield name, chip, None if axis == "none" else axis, size


def _lines(row: dict[str, Any], sums: Sums) -> Iterator[str]:
    memory, bandwidth, _, clock = CHIPS[row["chip"]]
    held = row["arguments"] + row["temporaries"] + row["code"]
    yield f"{row['program']}, {row['chip']}: told by the compiler for one chip"
    yield (
        f"  memory   arguments {row['arguments'] / 1e6:.0f} MB, temporaries "
        f"{row['temporaries'] / 1e6:.0f}, code {row['code'] / 1e6:.0f}: "
        f"{held / memory / 1e9:.0%} of {memory} GB"
    )
    yield (
        f"  traffic  arguments {sums.weights / 1e6:.0f} MB, read {sums.read / 1e6:.0f}, written "
        f"{sums.written / 1e6:.0f}: at least {sums.traffic / bandwidth / 1e6:.2f} ms"
    )
    yield (
        f"  work     {row['flops'] / 1e12:.3f} TFLOP: at least {arithmetic_floor(row):.2f} ms; "
        f"by the compiler's own model {sums.cycles / 1e6:.2f} M cycles: "
        f"{sums.cycles / clock / 1e6:.2f} ms at {clock:g} GHz"
    )
    yield (
        f"  kinds    {sums.operations:.0f} operations: {sums.products:.0f} products, "
        f"{sums.copies:.0f} copies, {sums.broadcasts:.0f} broadcasts, {sums.casts:.0f} casts, "
        f"{sums.collectives:.0f} collectives of {sums.sent / 1e6:.1f} MB"
    )
    yield (
        f"  wrong    {len(row['weight_copies'])} copies of weights, "
        f"{len(row['wide_products'])} products of float32 or float64; "
        f"compiled in {row['compile_seconds']:.0f} s of the processor"
    )


def _layer_lines(layers: dict[str, Sums]) -> Iterator[str]:
    yield f"  {'layer':<40}  M cycles  MB weights     read  written  copies  broadcasts  casts"
    for layer, sums in sorted(layers.items(), key=lambda item: -item[1].cycles):
        yield (
            f"  {layer or '(none)':<40}{sums.cycles / 1e6:10.3f}{sums.weights / 1e6:12.1f}"
            f"{sums.read / 1e6:9.1f}{sums.written / 1e6:9.1f}{sums.copies:8.0f}"
            f"{sums.broadcasts:12.0f}{sums.casts:7.0f}"
        )


if __name__ == "__main__":
    main()
