"""Pictures that a command is given by path or URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.image_inputs import load_image
from kandinsky_core.metadata import file_record

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["InputPicture"]


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
