"""Reads SentencePiece's model files, without the libraries of SentencePiece and protocol buffers.

Source: sentencepiece_model.proto of google/sentencepiece, and the encoding of protocol buffers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kandinsky_core.budgets import TOKENIZER_BYTES
from kandinsky_core.errors import CheckpointError
from kandinsky_core.files import require_regular, why_not
from kandinsky_core.texts.character_map import check_character_map

__all__ = ["CONTROL", "UNKNOWN", "USER_DEFINED", "Piece", "SentencePieceModel"]

# Kinds of pieces.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4

_UNIGRAM = 1
# How a field is stored: a number of as many bytes as it needs, 8 bytes, a length and so many bytes,
# 4 bytes.
_NUMBER, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_NUMBER = 70  # bits: a number of 64 takes ten bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the vocabulary; its place in the list is its id."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """The content of a Unigram model's file.

    Attributes:
        pieces: The vocabulary.
        unknown: Id that stands for text outside the vocabulary.
        character_map: Compiled rules that normalise characters first; empty where there are none.
    """

    pieces: tuple[Piece, ...]
    unknown: int
    character_map: bytes

    @classmethod
    def read(cls, file: Path) -> SentencePieceModel:
        """Read a model file.

        Raises:
            CheckpointError: The file cannot be read, is damaged, or is no Unigram model.
        """
        try:
            require_regular(file, TOKENIZER_BYTES)
            return cls._parse(file.read_bytes())
        except (OSError, ValueError, IndexError, struct.error) as error:
            raise CheckpointError(
                f"{file} cannot be read as a Unigram model of SentencePiece: {why_not(error)}"
            ) from error

    @classmethod
    def _parse(cls, data: bytes) -> SentencePieceModel:
        pieces, unknown, character_map = [], 0, b""
        for field, value in _fields(data):
            if field == 1:
                pieces.append(_piece(_whole(value)))
            elif field == 2:
                settings = dict(_fields(_whole(value)))
                if settings.get(3, _UNIGRAM) != _UNIGRAM:
                    raise ValueError(f"its algorithm is number {settings[3]!r}")
                found = settings.get(40, 0)
                unknown = found if isinstance(found, int) else 0
            elif field == 3:
                character_map = _whole(dict(_fields(_whole(value))).get(2, b""))
        if character_map:
            check_character_map(character_map)
        if not unknown < len(pieces):
            raise ValueError(f"it has {len(pieces)} pieces and piece {unknown} for unknown text")
        return cls(tuple(pieces), unknown, character_map)


def _piece(data: bytes) -> Piece:
    fields = dict(_fields(data))
    kind = fields.get(3, NORMAL)
    (score,) = struct.unpack("<f", _whole(fields.get(2, bytes(4))))
    if not math.isfinite(score):
        raise ValueError(f"a piece has the score {score}")
    text = _whole(fields.get(1, b"")).decode()
    return Piece(text, score, kind if isinstance(kind, int) else NORMAL)


def _whole(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a text or a record should")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a record: an integer, or bytes for anything else."""
    position = 0
    while position < len(data):
        key, position = _number(data, position)
        field, storage = key >> 3, key & 7
        if storage == _NUMBER:
            number, position = _number(data, position)
            yield field, number
            continue
        if storage == _BYTES:
            length, position = _number(data, position)
        elif storage in (_EIGHT, _FOUR):
            length = {_EIGHT: 8, _FOUR: 4}[storage]
        else:
            raise ValueError(f"a field is stored in way {storage}")
        if position + length > len(data):
            raise ValueError("it ends within a field")
        yield field, data[position : position + length]
        position += length


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Read an integer: seven bits a byte, the lowest first; the highest bit says that more follow.

    Returns:
        The integer, and the position behind it.
    """
    value = shift = 0
    while shift < _LONGEST_NUMBER:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is longer than 64 bits")
