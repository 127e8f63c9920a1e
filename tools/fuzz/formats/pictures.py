"""Pictures in files of six formats. The reference is what Pillow decodes."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from tools.fuzz.cases.byte_changes import NUMBERS, changed_bytes
from tools.fuzz.cases.case import (
    Case,
    Content,
    Difference,
    Fifo,
    Format,
    Link,
    ReferenceRefusesError,
)

__all__ = ["Pictures"]

_KINDS: tuple[tuple[str, str], ...] = (
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    *(("GIF", mode) for mode in ("L", "P")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB")),
    *(("TIFF", mode) for mode in ("1", "L", "RGB", "RGBA", "CMYK", "F", "I", "I;16")),
)
_SIDE = 16
_COMPARED = 10_000_000  # pixels; of larger pictures only the size is compared


class Pictures(Format):
    """One picture of 9 x 7 pixels."""

    name: ClassVar[str] = "pictures"
    # The largest picture that is read takes 0.7 GiB as Pillow holds it, a few times over.
    memory: ClassVar[int] = 3 << 30

    def warm(self) -> None:
        """See `Format.warm`."""
        import kandinsky_core.pictures.inputs  # noqa: F401

        for kind, mode in _KINDS:
            _encoded(kind, mode, 1)

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        kind, mode = random.choice(_KINDS)
        name = f"it.{kind.lower()}"
        if random.random() < 0.02:
            other: Content = random.choice((Fifo(), Link("/dev/zero"), Link(name), Link("gone")))
            return Case({name: other}, ["no file"], {"name": name})
        content = _encoded(kind, mode, random.choice((1, 1, 3, 6, 9)))
        how = [f"{kind} {mode}"]
        if kind == "PNG" and random.random() < 0.5:
            content, done = _changed_png(random, content)
            how.append(done)
        elif random.random() < 0.1:
            how.append("whole")
        else:
            content, more = changed_bytes(random, content)
            how += more
        return Case({name: content}, how, {"name": name})

    def read(self, case: Case, folder: Path) -> Any:
        """See `Format.read`."""
        from kandinsky_core.pictures.inputs import as_images, as_masks
        from kandinsky_core.pictures.opening import load_image

        image = load_image(folder / case.settings["name"])
        _check(as_images("image", image, _SIDE, _SIDE), 3, -1)
        _check(as_masks("mask", image, _SIDE, _SIDE), 1, 0)
        return image

    def compare(self, found: Any, case: Case, folder: Path) -> None:
        """See `Format.compare`; pictures of more than 8 bits are scaled here, and not by Pillow."""
        from PIL import Image, ImageOps

        try:
            # Pillow reads some damaged files by their path in another way than from bytes.
            with Image.open(BytesIO((folder / case.settings["name"]).read_bytes())) as image:
                image.load()
                turned = ImageOps.exif_transpose(image)
        except Exception as error:
            raise ReferenceRefusesError(repr(error)[:200]) from error
        large = turned.width * turned.height > _COMPARED
        if large or turned.mode.startswith(("I", "F")):
            if turned.size != found.size:
                raise Difference(f"size {found.size}, not {turned.size}")
        elif turned.convert("RGB").tobytes() != found.tobytes() or turned.size != found.size:
            raise Difference(f"other pixels than Pillow's ({turned.mode}, {turned.size})")


def _check(array: Any, channels: int, low: int) -> None:
    if array.shape != (1, channels, _SIDE, _SIDE) or array.dtype != np.float32:
        raise Difference(f"{array.dtype} {array.shape} of a picture")
    if not (array.min() >= low and array.max() <= 1):
        raise Difference(f"values from {array.min()} to {array.max()}")


@cache
def _encoded(kind: str, mode: str, orientation: int) -> bytes:
    """Return the bytes of a picture, with an orientation in its EXIF data where it has such."""
    from PIL import Image

    values = np.arange(63, dtype=np.uint8).reshape(7, 9) * 4
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(values).convert("RGB" if mode == "CMYK" else "L").convert(mode)
    file = BytesIO()
    options: dict[str, Any] = {}
    if kind in ("PNG", "JPEG", "WEBP") and orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(file, kind, **options)
    return file.getvalue()


def _changed_png(random: Random, content: bytes) -> tuple[bytes, str]:
    """Change a field of a PNG's chunks, and set the checksums right again."""
    chunks = _chunks(content)
    place = random.randrange(len(chunks))
    name, data = chunks[place]
    kind = random.choice(("size", "size", "kind", "repeat", "drop", "content", "length"))
    if kind in ("size", "kind"):
        header = bytearray(chunks[0][1])
        if kind == "size":
            side = random.choice((*NUMBERS, 8_000, 16_000, 30_000)) % (1 << 32)
            at = random.choice((0, 4))
            header[at : at + 4] = struct.pack(">I", side)
        else:
            header[random.randrange(8, 13)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = (b"IHDR", bytes(header))
    elif kind == "repeat":
        chunks[place:place] = [(name, data)] * random.choice((1, 10, 1000))
    elif kind == "drop":
        del chunks[place]
    elif kind == "content" and data:
        chunks[place] = (name, changed_bytes(random, data)[0])
    made = b"".join(_encoded_chunk(*found) for found in chunks)
    if kind == "length":
        made = struct.pack(">I", random.choice(NUMBERS) % (1 << 32)) + made[4:]
    return content[:8] + made, f"{kind} of chunk {place}"


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _encoded_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
