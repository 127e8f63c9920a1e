"""Pictures that a command is given by path or URL."""

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
    """A picture, and what the metadata of those made from it says of it."""

    picture: Image.Image
    record: dict[str, str]

    @classmethod
    def open(cls, flag: str, path: str) -> Self:
        """Load a picture.

        Args:
            flag: Where the path was given, for the error.
            path: Path or URL.

        Raises:
            InvalidInputError: It is not there, or no picture.
        """
        try:
            return cls(load_image(path), file_record(path))
        except (InvalidInputError, OSError) as error:
            raise InvalidInputError(f"{flag}: {error}") from error


def item_of(word: str) -> Prompts | InputPicture:
    """Return what an item of `kandinsky interpolate` names: a text or a picture.

    Raises:
        InvalidInputError: It is an empty text, or there is no such picture.
    """
    if not word.startswith(_IMAGE):
        return Prompts.check(word.removeprefix(_TEXT), name="ITEM")
    try:
        return InputPicture.open("ITEM", word.removeprefix(_IMAGE))
    except InvalidInputError as error:
        raise InvalidInputError(f"{error}; as a text it is {_TEXT}{word}") from error


def word_for(item: str | Mapping[str, str]) -> str:
    """Return the word of the command line for an item as the metadata holds it."""
    if isinstance(item, Mapping):
        return _IMAGE + item["path"]
    return _TEXT + item if item.startswith((_IMAGE, _TEXT, "-")) else item
