"""Counts what became of the cases of one format, and prints it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Summary", "table"]

_SHOWN = 3  # failures of one kind and place


@dataclass
class Summary:
    """The count of one format.

    Attributes:
        name: The format.
        accepted: Cases that were read.
        beyond: Cases that were read here, and refused by the reference.
        refused: Cases that were refused, by the class of the error.
        failed: Cases that failed, by kind and place.
        slowest: Seconds of the slowest case, and its seed.
        peak: Bytes that the memory grew by.
    """

    name: str
    accepted: int = 0
    beyond: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, 0)
    peak: int = 0

    @property
    def cases(self) -> int:
        """How many cases ran."""
        return self.accepted + self.refused.total() + self.failed.total()

    def add(self, result: Mapping[str, Any]) -> str | None:
        """Count one case.

        Returns:
            A line for a failure that is to be shown, else None.
        """
        self.slowest = max(self.slowest, (result["seconds"], result["seed"]))
        self.peak = max(self.peak, result["peak"])
        if result["outcome"] == "accepted":
            self.accepted += 1
            self.beyond += bool(result["kind"])
            return None
        if result["outcome"] == "refused":
            self.refused[result["kind"]] += 1
            return None
        place = re.findall(r"\[\w+\.py:\d+\]", result["said"])
        key = " ".join([result["kind"], *place[:1]])
        self.failed[key] += 1
        if self.failed[key] > _SHOWN:
            return None
        how = f" ({'; '.join(result['how'])[:160]})" if result["how"] else ""
        return f"{self.name}:{result['seed']}: {result['kind']}: {result['said']}{how}"


def table(summaries: Sequence[Summary]) -> Iterator[str]:
    """Yield the lines of a table, and below it the failures by kind."""
    yield (
        f"{'format':<12} {'cases':>7} {'accepted':>8} {'refused':>8} {'failed':>7} "
        f"{'slowest':>8} {'memory':>8}"
    )
    for found in summaries:
        yield (
            f"{found.name:<12} {found.cases:>7,} {found.accepted:>8,} "
            f"{found.refused.total():>8,} {found.failed.total():>7,} "
            f"{found.slowest[0]:>6.2f} s {found.peak / 1e6:>5.0f} MB"
        )
    for found in summaries:
        if found.refused:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in found.refused.most_common())
            yield f"{found.name} was refused by {kinds}"
        if found.beyond:
            yield f"{found.name}: the reference refused {found.beyond:,} of those accepted here"
        for kind, count in found.failed.most_common():
            yield f"{found.name} FAILED {count:,} times: {kind}"
