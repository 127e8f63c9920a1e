"""Types of the arrays that all parts of the library pass to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "FloatArray"]

Array = NDArray[Any]


FloatArray = NDArray[np.float32]
