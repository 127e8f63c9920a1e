"""Refuses tokens that a text encoder has no embedding for, as a tokenizer of another model gives.

A lookup beyond the table raises on no backend: JAX gives NaN or the last row, MindSpore anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.errors import CheckpointError

__all__ = ["known_tokens"]


def known_tokens(tokens: Iterable[Array], text_encoder: Any) -> tuple[Array, Array]:
    """Return ids [B, L] and their mask [B, L], the two of `tokens`, as they are.

    Raises:
        CheckpointError: The text encoder does not know an id.
    """
    ids, mask = tokens
    size = text_encoder.config.vocab_size
    if ids.max() >= size:
        raise CheckpointError(
            f"the tokenizer gives the token {ids.max()}, and the text encoder knows {size}: "
            "load both from one model"
        )
    return ids, mask
