"""The weights of a loaded network, as scripts written for PyTorch look at them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from kandinsky_core.arrays import Array
from kandinsky_core.seam.stored_dtypes import BY_NAME

__all__ = ["Weight", "is_embedding"]


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """One weight: its shape is known, and its values are read when they are asked for.

    Attributes:
        name: PyTorch's name.
        shape: The shape in PyTorch's layout.
        dtype: Name of the dtype that it is kept in.
        device: Where the network runs.
        read: Reads a copy of the values from the network.
        requires_grad: Always False, as networks are not trained here.
        grad: Always None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    read: Callable[[], Array] = field(repr=False)
    requires_grad: bool = False
    grad: None = None

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the values take."""
        return self.numel() * self.element_size()

    def numel(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)

    nelement = numel

    def element_size(self) -> int:
        """Return the bytes of one value."""
        return BY_NAME[self.dtype].size

    def size(self, axis: int | None = None) -> Any:
        """Return the shape, or its length along one axis."""
        return self.shape if axis is None else self.shape[axis]

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Return the weight as it is: networks are not trained here."""
        return self

    def numpy(self) -> Array:
        """Return a copy of the values, in PyTorch's layout and the network's dtype."""
        return self.read()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.read(), dtype)


def is_embedding(name: str) -> bool:
    """Tell by a weight's name whether PyTorch keeps it in an `Embedding`."""
    module, _, leaf = name.rpartition(".")
    table = module.rpartition(".")[2]
    if leaf != "weight" or table == "patch_embedding":  # that is a convolution
        return False
    return table in ("shared", "embed_tokens", "relative_attention_bias") or (
        table.endswith(("embedding", "embeddings"))
    )
