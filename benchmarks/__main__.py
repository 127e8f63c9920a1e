"""Compares our backends with PyTorch diffusers on networks of full size, with random weights.

    python -m benchmarks                    # those of Kandinsky 2.2
    python -m benchmarks --cases unet-3     # 3 billion parameters, which need 6 or 12 GB
    python -m benchmarks --cases unet --sizes 512 768 --dtypes float32 bfloat16 --json unet.json

Every measurement runs in a process of its own, and the sides take turns. Ratios are to eager
diffusers in the same dtype. The share compares our rate of operations with the rate of the fastest
matrix product.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from itertools import product
from typing import Any

from benchmarks.full_size import CASES, check_cases
from benchmarks.turns import (
    add_comparison,
    finish_side,
    installed,
    machine,
    run_in_turns,
    summary,
    write_json,
)

SIDES = {
    "jax": "jax",
    "jax plain": "jax",
    "jax without kernels": "jax",
    "mindspore": "mindspore",
    "diffusers": "torch",
    "diffusers channels-last": "torch",
    "diffusers compiled": "torch",
    "openvino": "openvino",
    "openvino int8": "nncf",
}
"""The sides and the package that each needs.

`jax plain` leaves convolutions to XLA, `jax without kernels` attention.
"""
REFERENCE = "diffusers"
OPTIONAL = ("diffusers compiled", "openvino", "openvino int8")
"""Compilers that do not work everywhere, or not for every network."""
DEFAULT_SIDES = ("jax", "diffusers", "diffusers channels-last")
WITHOUT_AMX = {
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX512_VNNI",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
    "DNNL_MAX_CPU_ISA": "AVX512_CORE_VNNI",
}
"""Environment of processes that do without AMX: of XLA, PyTorch and OpenVINO."""
MATRIX_SIDES = {"2.2": 4096, "shapes": 1024}
"""Of the square product that steps are compared with, by model; a large one takes seconds."""
_FORMS = {
    "diffusers": "eager",
    "diffusers channels-last": "channels_last",
    "diffusers compiled": "compiled",
}
_OPENVINO = {"openvino": "plain", "openvino int8": "int8"}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in this process."""
    case = CASES[options.cases[0]]
    request = (options.dtypes[0], options.sizes[0], options.repeats)
    if options.side in _OPENVINO:
        from benchmarks import openvino_side

        found = openvino_side.measure(case, options.model, _OPENVINO[options.side], *request)
    elif options.side in _FORMS:
        from benchmarks import torch_side

        found = torch_side.measure(case, options.model, _FORMS[options.side], *request)
    else:
        from benchmarks import backend_side

        found = backend_side.measure(case, options.model, options.side, *request)
    if options.side in ("jax", "jax plain", REFERENCE):
        from benchmarks.peak import matmul_rate

        matrix = MATRIX_SIDES[options.model]
        found["matmul_rate"] = matmul_rate(SIDES[options.side], options.dtypes[0], matrix)
    return found


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run all cases that the options name, and return their figures for the table and as JSON."""
    sides = installed(options.sides, SIDES)
    found: dict[str, Any] = {"model": options.model, "machine": machine(), "rows": []}
    for name, dtype, size in product(options.cases, options.dtypes, options.sizes):
        if not CASES[name].sized and size != options.sizes[0]:
            continue
        words = ["--cases", name, "--dtypes", dtype, "--sizes", str(size)]
        words += ["--repeats", str(options.repeats), "--model", options.model]
        runs = run_in_turns("benchmarks", sides, words, options.turns, optional=OPTIONAL)
        rows = {side: _row(own) for side, own in runs.items()}
        entry = {"case": name, "dtype": dtype, "size": size, "sides": rows}
        found["rows"].append(_related(entry))
        sys.stderr.write(_lines(entry))
    found["machine"]["load_after"] = machine()["load"]
    return found


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    first = runs[0]
    names = ("device", "load", "first", "flops", "device_peak_gib")
    rates = [run["matmul_rate"] for run in runs if "matmul_rate" in run]
    return {
        **summary(runs),
        **{name: first[name] for name in names if name in first},
        **({"matmul_rate": max(rates)} if rates else {}),
    }


def _related(entry: dict[str, Any]) -> dict[str, Any]:
    """Add to each side its ratio to the reference, and to ours its share of the matrix product."""
    rows: Mapping[str, Any] = entry["sides"]
    flops = rows.get("jax", {}).get("flops")
    rates = [row["matmul_rate"] for row in rows.values() if "matmul_rate" in row]
    for side, row in rows.items():
        if REFERENCE in rows:
            row["ratio"] = row["seconds_per_step"] / rows[REFERENCE]["seconds_per_step"]
        if side == "jax" and flops and rates:  # other sides may need more operations
            row["share_of_matmul"] = flops / row["seconds_per_step"] / max(rates)
    return entry


def _lines(entry: Mapping[str, Any]) -> str:
    case = CASES[entry["case"]]
    size = f", {entry['size']} px" if case.sized else ""
    lines = [f"{case.summary}{size}, {entry['dtype']}"]
    for side, row in entry["sides"].items():
        share, ratio = row.get("share_of_matmul"), row.get("ratio")
        device = row.get("device_peak_gib")
        lines.append(
            f"  {side:<24}{row['seconds_per_step']:>9.3f} s (median {row['median']:.3f})"
            + ("" if ratio is None else f"{ratio:>7.2f}")
            + f"  first call {row['first']:.1f} s"
            + f"  peak {row['peak_gib'] if device is None else device:.1f} GiB"
            + ("" if share is None else f"  {share:.0%} of matmul")
        )
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--model", default="2.2", choices=MATRIX_SIDES, help="whose sizes (2.2, the published)"
    )
    usual = [name for name, case in CASES.items() if case.version == "2.2"]
    parser.add_argument("--cases", nargs="+", choices=CASES, default=usual, metavar="CASE")
    parser.add_argument("--sizes", nargs="+", type=int, default=[512], metavar="PX")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls a process (3)")
    parser.add_argument(
        "--without-amx",
        action="store_true",
        help="let all libraries do without AMX, as on a processor that has AVX-512 alone",
    )
    add_comparison(parser, SIDES, DEFAULT_SIDES)
    options = parser.parse_args()
    check_cases(parser, options.cases, options.model)
    return options


def main() -> None:
    """Measure one side (in a child process), or compare all."""
    options = _arguments()
    if options.without_amx:
        os.environ.update(WITHOUT_AMX)
    if options.side:
        finish_side(measure(options))
        return
    found = compare(options)
    for entry in found["rows"]:
        sys.stdout.write(_lines(entry))
    write_json(options.json, found)


if __name__ == "__main__":
    main()
