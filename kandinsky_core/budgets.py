"""How much is read from outside: the one table of budgets, each above what real models need.

A file, a reply or a text from outside may say that it is larger than it is, or be larger than
anything that is needed. Whoever reads it stops at its budget and names the budget in the error.
"""

from __future__ import annotations

__all__ = [
    "ADDED_TOKENS",
    "COMPARED_BYTES",
    "EXPANDED_BYTES",
    "FRONT_MATTER_BYTES",
    "FRONT_MATTER_DEPTH",
    "JSON_BYTES",
    "JSON_DEPTH",
    "JSON_DIGITS",
    "METADATA_CHARACTERS",
    "METADATA_DEPTH",
    "PICKLE_BYTES",
    "PICKLE_DEPTH",
    "PICKLE_INSTRUCTIONS",
    "PICKLE_ITEMS",
    "PICTURE_FILE_BYTES",
    "PICTURE_PIXELS",
    "PICTURE_URL_SECONDS",
    "PROMPTS",
    "PROMPT_CHARACTERS",
    "PROMPT_FILE_BYTES",
    "SAFETENSORS_HEADER_BYTES",
    "TENSORS",
    "TENSOR_AXES",
    "TENSOR_NAME_CHARACTERS",
    "TENSOR_VALUES",
    "TOKENIZER_BYTES",
    "TOKEN_CHARACTERS",
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

PICKLE_DEPTH: int = 8
"""Dicts, lists or tuples within each other in a pickle; the state of a training has five."""

ZIP_DIRECTORY_BYTES: int = 16 << 20
"""Bytes of a zip archive's list of members; PyTorch takes 100 for each tensor."""

ZIP_MEMBERS: int = 1 << 17
"""Members of a zip archive; PyTorch makes one for each tensor, and five more."""

EXPANDED_BYTES: int = 256 << 20
"""Bytes by which the expanded tensors of a PyTorch file exceed the values that it stores."""

JSON_BYTES: int = 8 << 20
"""Bytes of a JSON file; the largest published index of weights takes 0.1 MB."""

JSON_DEPTH: int = 64
"""Lists and objects within each other in a JSON file; published ones have at most 6."""

JSON_DIGITS: int = 100
"""Digits of a whole number in a JSON file; transformers writes one of 31 digits for no limit."""

TOKENIZER_BYTES: int = 64 << 20
"""Bytes of one file of a tokenizer; that of XLM-RoBERTa takes 17 MB."""

ADDED_TOKENS: int = 10_000
"""Tokens beyond the pieces of T5's `spiece.model`; the published tokenizers have 128."""

TOKEN_CHARACTERS: int = 1000
"""Characters of a token that is added to a vocabulary; published ones have at most 15."""

FRONT_MATTER_BYTES: int = 16 << 10
"""Bytes of the block that opens a model card; published ones take 0.3 KB."""

FRONT_MATTER_DEPTH: int = 16
"""Lists and mappings within each other in that block; published ones have at most 8."""

PICTURE_FILE_BYTES: int = 256 * 2**20
"""Bytes of one picture, in a file or behind a URL."""

PICTURE_PIXELS: int = 178_956_970
"""Pixels of one picture; above this number PIL itself refuses. Converted, they take some 2 GiB."""

PICTURE_URL_SECONDS: int = 120
"""Seconds until a URL must have delivered its picture, all redirects included."""

COMPARED_BYTES: int = 2**30
"""Bytes of all files together that `kandinsky info` compares with a picture's metadata."""

METADATA_CHARACTERS: int = 2**20
"""Characters of the metadata in a picture, as JSON text."""

METADATA_DEPTH: int = 32
"""Levels of objects and lists in the metadata of a picture."""

PROMPT_FILE_BYTES: int = 8 << 20
"""Bytes of a file of prompts; a prompt of 200 letters takes as many bytes, or twice that."""

PROMPTS: int = 1 << 15
"""Prompts in such a file."""

PROMPT_CHARACTERS: int = 10_000
"""Characters of a prompt in such a file; text encoders read some 100 words."""
