"""How much is read from outside: the one table of budgets, each above what real models need.

A file, a reply or a text from outside may say that it is larger than it is, or be larger than
anything that is needed. Whoever reads it stops at its budget and names the budget in the error.
"""

from __future__ import annotations

__all__ = [
    "FRONT_MATTER_BYTES",
    "FRONT_MATTER_DEPTH",
    "JSON_BYTES",
    "JSON_DEPTH",
    "JSON_DIGITS",
    "TOKENIZER_BYTES",
]

JSON_BYTES: int = 8 << 20
"""Bytes of a JSON file; the largest published index of weights takes 0.1 MB."""

JSON_DEPTH: int = 64
"""Lists and objects within each other in a JSON file; published ones have at most 6."""

JSON_DIGITS: int = 100
"""Digits of a whole number in a JSON file; transformers writes one of 31 digits for no limit."""

TOKENIZER_BYTES: int = 64 << 20
"""Bytes of one file of a tokenizer; that of XLM-RoBERTa takes 17 MB."""

FRONT_MATTER_BYTES: int = 16 << 10
"""Bytes of the block that opens a model card; published ones take 0.3 KB."""

FRONT_MATTER_DEPTH: int = 16
"""Lists and mappings within each other in that block; published ones have at most 8."""
