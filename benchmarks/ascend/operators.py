"""Knows which kernel MindSpore's Ascend backend has for an operator: facts that were written down.

`python -m benchmarks.ascend.find_kernels` writes them, from MindSpore's sources and its wheel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["FACTS", "facts", "without_kernel"]

FACTS = Path(__file__).parent / "operators.json"
"""The file of the facts."""


@cache
def facts() -> dict[str, dict[str, Any]]:
    """Return what is known of each operator: its kernel, the file, whether it also runs eagerly."""
    found: dict[str, dict[str, Any]] = json.loads(FACTS.read_text(encoding="utf-8"))["operators"]
    return found


def without_kernel(operators: Iterable[str]) -> list[str]:
    """Return the operators for which no kernel is known on Ascend."""
    return sorted(set(operators) - facts().keys())
