"""Types of the arrays that go through the whole library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "FloatArray"]

Array = NDArray[Any]


FloatArray = NDArray[np.float32]
