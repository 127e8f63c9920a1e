"""How much is read from outside: the one table of budgets, each above what real models need.

A file, a reply or a text from outside may say that it is larger than it is, or be larger than
anything that is needed. Whoever reads it stops at its budget and names the budget in the error.
"""

from __future__ import annotations

__all__ = [
    "EXPANDED_BYTES",
    "PICKLE_BYTES",
    "PICKLE_DEPTH",
    "PICKLE_INSTRUCTIONS",
    "PICKLE_ITEMS",
    "SAFETENSORS_HEADER_BYTES",
    "TENSORS",
    "TENSOR_AXES",
    "TENSOR_NAME_CHARACTERS",
    "TENSOR_VALUES",
    "ZIP_DIRECTORY_BYTES",
    "ZIP_MEMBERS",
]

TENSORS: int = 1 << 16
"""Tensors in one file of weights, or pieces of tensors; the largest published file has 2,000."""

TENSOR_AXES: int = 8
"""Axes of a tensor; networks have at most 4."""

TENSOR_NAME_CHARACTERS: int = 1024
"""Characters in the name of a tensor, dots included; published names have at most 120."""

TENSOR_VALUES: int = 1 << 40
"""Values of a tensor, where an axis of no length counts as one; published ones have 2**28."""

SAFETENSORS_HEADER_BYTES: int = 8 << 20
"""Bytes of a safetensors header; published ones take 0.3 MB. The format itself allows 100 MB."""

PICKLE_BYTES: int = 4 << 20
"""Bytes of a pickle without its tensors' values; the largest model's takes 0.2 MB."""

PICKLE_INSTRUCTIONS: int = 400_000
"""Instructions of a pickle; a tensor takes 30, so the largest model's has 60,000."""

PICKLE_ITEMS: int = 1 << 17
"""Dicts, lists, tuples and what they hold, counted each time that one is reached in a pickle."""

PICKLE_DEPTH: int = 4
"""Dicts, lists or tuples within each other in a pickle; the originals of Kandinsky 3 have two."""

ZIP_DIRECTORY_BYTES: int = 16 << 20
"""Bytes of a zip archive's list of members; PyTorch takes 100 for each tensor."""

ZIP_MEMBERS: int = 1 << 17
"""Members of a zip archive; PyTorch makes one for each tensor, and five more."""

EXPANDED_BYTES: int = 256 << 20
"""Bytes by which the expanded tensors of a PyTorch file exceed the values that it stores."""
