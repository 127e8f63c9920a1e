"""Puts what the compiler told of many programs into tables, one for each kind of chip."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.tpu.chips import CHIPS, arithmetic_floor

__all__ = ["table"]

_HEAD = (
    "arguments, temporaries, code: GB",
    "of the chip",
    "TFLOP: at least",
    "GB over the main memory: at least",
    "of the weights",
    "by the compiler's model",
    "copies, casts of all",
    "collectives: GB sent",
    "weights copied, float32 products",
)


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield lines of Markdown."""
    for chip in CHIPS:
        of_chip = [row for row in rows if row["chip"] == chip]
        if of_chip:
            yield ""
            yield " | ".join(("| " + chip, *_HEAD)) + " |"
            yield "|---" * (len(_HEAD) + 1) + "|"
            for row in of_chip:
                yield " | ".join(("| " + row["program"], *_cells(row))) + " |"


def _cells(row: dict[str, Any]) -> Iterator[str]:
    if "refused" in row:
        yield _too_much(row["refused"])
        yield from [""] * (len(_HEAD) - 1)
        return
    memory, bandwidth, _, clock = CHIPS[row["chip"]]
    held = [row[name] / 1e9 for name in ("arguments", "temporaries", "code")]
    yield ", ".join(f"{part:.2f}" for part in held)
    yield f"{sum(held) / memory:.0%}"
    yield f"{row['flops'] / 1e12:.2f}: {arithmetic_floor(row):.1f} ms"
    traffic = row["weights"] + row["read"] + row["written"]
    yield f"{traffic / 1e9:.2f}: {traffic / bandwidth / 1e6:.1f} ms"
    yield f"{traffic / row['weights']:.2f}" if row["weights"] else ""
    yield f"{row['cycles'] / clock / 1e6:.1f} ms"
    yield f"{row['copies']:.0f}, {row['casts']:.0f} of {row['operations']:.0f}"
    yield f"{row['collectives']:.0f}: {row['sent'] / 1e9:.3f}" if row["collectives"] else "none"
    yield f"{len(row['weight_copies'])}, {len(row['wide_products'])}"


def _too_much(reason: str) -> str:
    """Return how much a program takes of how much there is, as far as the compiler says it."""
    wanted, _, there = reason.partition("exceeds")
    amounts = [re.search(r"([\d.]+)G", part) for part in (wanted, there)]
    told = " of ".join(found[1] for found in amounts if found)
    return f"does not fit: {told} GiB" if told else "does not fit"
