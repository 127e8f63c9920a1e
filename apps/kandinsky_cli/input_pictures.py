"""Loads the pictures that a command gets by path or URL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.files import why_not
from kandinsky_core.pictures.metadata import file_record, is_file_record
from kandinsky_core.pictures.opening import load_image, load_mask
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
        return cls._loaded(flag, path, load_image)

    @classmethod
    def open_mask(cls, flag: str, path: str) -> Self:
        """Load a mask; arguments and errors are those of `open`.

        Raises:
            InvalidInputError: The shape of the mask lies in its transparency.
        """
        return cls._loaded(flag, path, load_mask)

    @classmethod
    def _loaded(cls, flag: str, path: str, load: Callable[[str], Image.Image]) -> Self:
        try:
            return cls(load(path), file_record(path))
        except (InvalidInputError, OSError) as error:
            raise InvalidInputError(f"{flag}: {why_not(error)}") from error


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


def word_for(item: Any) -> str:
    """Return the command line's word for an item that the metadata holds.

    Raises:
        InvalidInputError: The item is neither a text nor the record of a file.
    """
    if is_file_record(item):
        return _IMAGE + str(item["path"])
    if not isinstance(item, str):
        raise InvalidInputError("items holds something that is neither a text nor a picture")
    return _TEXT + item if item.startswith((_IMAGE, _TEXT, "-")) else item
