"""The metadata in a picture, by `kandinsky info`. The reference is Pillow and `json`."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tools.fuzz.cases.byte_changes import changed_bytes
from tools.fuzz.cases.case import (
    Case,
    Content,
    Difference,
    Fifo,
    Format,
    Link,
    ReferenceRefusesError,
)
from tools.fuzz.cases.json_changes import changed_json, changed_value, odd_text
from tools.fuzz.cases.letters import odd_letters

__all__ = ["Metadata", "png"]

_PATHS = ("/dev/zero", "/dev/stdin", "/dev/tty", "pipe", "link", ".", "/proc/self/mem", "gone.png")
_METADATA: dict[str, Any] = {
    "program": "kandinsky generate",
    "prompt": "a red circle",
    "negative_prompt": "blue",
    "model": "shapes",
    "image": {"path": "here.png", "sha256": "0" * 64},
    "items": [],
    "seed": 7,
    "height": 64,
    "width": 64,
    "num_inference_steps": 4,
    "guidance_scale": [4.0],
    "lora": {"path": "lora.safetensors", "sha256": "0" * 64},
    "versions": {"python": "3.11"},
    "flash": True,
    "backend": "jax",
}
_ADDED = ("command", "warnings")  # what the command adds to the metadata
_CHUNKS = ("plain", "plain", "zipped", "tEXt", "zTXt", "twice", "bomb")
_EXIF, _COMMENT = 0x8769, 0x9286  # the tag of Exif's directory, and that of `UserComment`
_ASCII = b"ASCII\0\0\0"
_LONGEST = 60_000  # bytes of metadata in a JPEG


class Metadata(Format):
    """A picture with metadata, a pipe and a link beside it."""

    name: ClassVar[str] = "metadata"

    def warm(self) -> None:
        """See `Format.warm`."""
        _with_comment(Random(0), "WEBP", b"{}")
        import kandinsky_core.checkpoints.opened_model  # noqa: F401

        _main()

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        value: Any = dict(_METADATA)
        how: list[str] = []
        if random.random() < 0.3:
            path = random.choice((*_PATHS, odd_text(random)))
            key = random.choice(("image", "lora", "items", "mask_image"))
            record = {"path": path, "sha256": "0" * 64}
            value[key] = [record] if key == "items" else record
            how.append(f"{key} is {path!r}")
        if random.random() < 0.4:
            value, more = changed_value(random, value)
            how += more
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        else:
            text, more = changed_json(random, value)
            how += more
        kind = random.choice((*_CHUNKS, "JPEG", "WEBP"))
        if kind in _CHUNKS:
            content = png([_chunk(kind, text)] * (2 if kind == "twice" else 1))
        else:
            content, more = _with_comment(random, kind, text)
            how += more
        if kind not in ("plain", "zipped"):
            how.append(f"chunk: {kind}")
        if random.random() < 0.15:
            content, damage = changed_bytes(random, content)
            how += damage
        files: dict[str, Content] = {"it.png": content, "pipe": Fifo(), "link": Link("/dev/zero")}
        return Case(files, how, {"json": random.random() < 0.6})

    def read(self, case: Case, folder: Path) -> dict[str, Any] | None:
        """See `Format.read`: what `info` prints, as JSON or as lines."""
        from kandinsky_core.errors import KandinskyError

        words = ["info", "it.png", *(["--json"] if case.settings["json"] else [])]
        printed = TextIOWrapper(BytesIO(), "utf-8", write_through=True)
        said = TextIOWrapper(BytesIO(), "utf-8", "backslashreplace", write_through=True)
        with redirect_stdout(printed), redirect_stderr(said):
            code = _main()(words)
        text = _written(printed)
        error = _written(said)
        if code == 2:
            raise KandinskyError(error.rstrip("\n").removeprefix("kandinsky info: error: "))
        if code != 0:
            raise Difference(f"the command ended with {code}: {error[:200]}")
        if not case.settings["json"]:
            odd = odd_letters(text.replace("\n", ""))
            if odd:
                raise Difference(f"the terminal gets {odd[0]!r}")
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def compare(self, found: dict[str, Any] | None, case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        from PIL import Image

        if found is None:
            return
        try:
            with Image.open(folder / "it.png") as image:
                wanted = json.loads(image.info.get("kandinsky") or _comment_of(image))
        except Exception as error:
            raise ReferenceRefusesError(str(error)[:200]) from error
        mine = {name: value for name, value in found.items() if name not in _ADDED}
        theirs = {name: value for name, value in wanted.items() if name not in _ADDED}
        if json.dumps(mine) != json.dumps(theirs):
            raise Difference("what is printed is not what the picture holds")


def _with_comment(random: Random, kind: str, text: bytes) -> tuple[bytes, list[str]]:
    """Return a picture with metadata as Pillow writes them into Exif, and what was changed."""
    from PIL import Image

    exif = Image.Exif()
    exif[_EXIF] = {_COMMENT: _ASCII + b"kandinsky: " + text[:_LONGEST]}
    block, how = exif.tobytes(), list[str]()
    if random.random() < 0.5:
        block, how = changed_bytes(random, block)
        block = block[: _LONGEST + 1000]
    file = BytesIO()
    Image.new("RGB", (2, 2)).save(file, kind, exif=block)
    return file.getvalue(), how


def _comment_of(image: Any) -> str:
    comment: bytes = image.getexif().get_ifd(_EXIF)[_COMMENT]
    return comment.removeprefix(_ASCII + b"kandinsky: ").decode("ascii")


@cache
def _main() -> Any:
    """Return the command line's function, found as an installed program finds it."""
    from importlib.metadata import entry_points

    found = entry_points(group="console_scripts", name="kandinsky")
    return next(iter(found)).load()


@cache
def _bomb() -> bytes:
    """Return 64 MiB of spaces, compressed."""
    return zlib.compress(b" " * (64 << 20), 1)


def _written(stream: TextIOWrapper) -> str:
    buffer: Any = stream.buffer
    text: str = buffer.getvalue().decode("utf-8")
    return text


def png(chunks: list[bytes], width: int = 2, height: int = 2, kind: int = 2) -> bytes:
    """Return a PNG of black pixels with further chunks in front of them."""
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\0\0\0" * 2) * 2))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    """Return one chunk with its length and its checksum."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _chunk(kind: str, text: bytes) -> bytes:
    if kind == "tEXt":
        return chunk(b"tEXt", b"kandinsky\0" + text)
    if kind == "zTXt":
        return chunk(b"zTXt", b"kandinsky\0\0" + zlib.compress(text))
    if kind == "bomb":
        return chunk(b"iTXt", b"kandinsky\0\1\0\0\0" + _bomb())
    if kind == "zipped":
        return chunk(b"iTXt", b"kandinsky\0\1\0\0\0" + zlib.compress(text))
    return chunk(b"iTXt", b"kandinsky\0\0\0\0\0" + text)
