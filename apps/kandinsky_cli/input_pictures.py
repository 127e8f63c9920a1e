"""Loads the pictures that a command gets by path or URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import load_image
from kandinsky_core.pictures.metadata import file_record
from kandinsky_core.texts.prompts import Prompts

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["InputPicture", "item_of", "word_for"]

_IMAGE, _TEXT = "image:", "text:"


@dataclass(frozen=True, slots=True)
class InputPicture:
    """A picture, and its record for the metadata of the pictures that are made from it."""

    picture: Image.Image
    record: dict[str, str]

    @classmethod
    def open(cls, flag: str, path: str) -> Self:
        """Load a picture.

        Args:
            flag: Option that gave the path, for the error.
            path: Path or URL.

        Raises:
            InvalidInputError: The file is not there, or it is no picture.
        """
        try:
            return cls(load_image(path), file_record(path))
        except (InvalidInputError, OSError) as error:
            raise InvalidInputError(f"{flag}: {error}") from error


def item_of(word: str) -> Prompts | InputPicture:
    """Return the text or the picture that an item of `kandinsky interpolate` names.

    Raises:
        InvalidInputError: The text is empty, or there is no such picture.
    """
    if not word.startswith(_IMAGE):
        return Prompts.check(word.removeprefix(_TEXT), name="ITEM")
    try:
        return InputPicture.open("ITEM", word.removeprefix(_IMAGE))
    except InvalidInputError as error:
        raise InvalidInputError(f"{error}; as a text it is {_TEXT}{word}") from error


def word_for(item: str | Mapping[str, str]) -> str:
    """Return the command line's word for an item that the metadata holds."""
    if isinstance(item, Mapping):
        return _IMAGE + item["path"]
    return _TEXT + item if item.startswith((_IMAGE, _TEXT, "-")) else item
