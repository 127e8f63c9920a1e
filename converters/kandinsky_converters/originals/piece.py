"""Where a tensor of diffusers lies inside a tensor of an original file."""

from __future__ import annotations

from dataclasses import dataclass

from kandinsky_core.arrays import Array

__all__ = ["HEAD_SIZE", "Piece"]

HEAD_SIZE = 64
"""Channels of an attention head in every published model."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The place of one tensor of diffusers inside an original tensor.

    An original weight may fuse queries, keys and values. Its rows come head by head: in each head
    first the query's (if it is part of the weight), then the key's, then the value's.
    """

    source: str
    part: int = 0
    parts: int = 1
    flat: bool = False  # a convolution of side 1, to become a matrix
    row: bool = False  # a vector, to become a matrix of one row

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        if self.row:
            return (1, *given)
        sides = given[:2] if self.flat else given
        return (sides[0] // self.parts, *sides[1:])

    def values(self, array: Array, head_size: int) -> Array:
        if self.row:
            return array[None]
        if self.flat:
            array = array.reshape(array.shape[:2])
        if self.parts == 1:
            return array
        heads = array.reshape(-1, self.parts, head_size, *array.shape[1:])
        return heads[:, self.part].reshape(-1, *array.shape[1:])
