"""Values of every type and size that a stranger's JSON, or a caller, may give to any field."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["WRONG_VALUES"]

WRONG_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    3,
    -1,
    980,
    10**9,
    10**400,
    -(10**5000),
    0.5,
    0.999999,
    1e-9,
    1e9,
    5e-324,
    1e300,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "abc",
    "1000",
    "x" * 10_000,
    [],
    [None],
    ["a"],
    [[1]],
    [32, 32],
    [0.5] * 1000,
    [1.0] * 1000,
    [0.01] * 999 + [1.0],
    [64] * 10_000,
    {},
    {"a": 1},
    b"x",
)
