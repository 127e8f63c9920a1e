"""Files of `torch.save`: a zip archive around a pickle. The reference is `torch.load`."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tools.fuzz.cases.byte_changes import NUMBERS, changed_bytes
from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError
from tools.fuzz.cases.json_changes import odd_text
from tools.fuzz.formats.safetensors import Tensor, all_tensors

__all__ = ["Pickled", "archive", "pickled_state"]

_FILE = "w.bin"
_STORAGES = {"F32": ("FloatStorage", 4), "F16": ("HalfStorage", 2), "I64": ("LongStorage", 8)}
_TENSORS: dict[str, Tensor] = {
    "a.weight": ((2, 3), "F32", struct.pack("<6f", *range(6))),
    "a.bias": ((2,), "F16", struct.pack("<2e", 1.5, 2)),
    "count": ((), "I64", (7).to_bytes(8, "little")),
}
_DICT = b"ccollections\nOrderedDict\n)R"
# What a stranger may put into a pickle, as opcodes.
_BAIT: tuple[bytes, ...] = (
    b"cos\nsystem\n",
    b"cos\nsystem\n\x8c\x05touch\x85R",
    b"cbuiltins\neval\n",
    b"cbuiltins\nexec\n",
    b"cpickle\nloads\n",
    b"ctorch\nload\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch.storage\n_load_from_bytes\n",
    b"\x8c\x02os\x8c\x06system\x93",
    b"(ios\nsystem\n",
    b"P0\n",
    b"Q",
    b"\x82\x01",
    b"}b",
    b"]q\x00h\x00a",  # a list in itself
    b"}q\x00\x8c\x01ah\x00s",  # a dict in itself
    b"]" + b"q\x00(" + b"h\x00" * 50 + b"e",
    b"K\x01" + b"q\x00h\x00h\x00\x86" * 40,  # a pair of pairs of pairs ...: 2 ** 40 leaves
    b"]" * 5_000 + b"a" * 4_999,
    b")" + b"\x85" * 5_000,
    b"(" * 1000,
    b"2" * 1000,
    b"0",
    b"1",
    b".",
    b"\x8a\xff" + b"\xff" * 255,  # a number of 255 bytes
    b"\x8b\xff\xff\xff\x7f",
    b"X\xff\xff\xff\x7f",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"I" + b"9" * 5_000 + b"\n",
    b"G\x7f\xf8\0\0\0\0\0\0",
)


class Pickled(Format):
    """A state dict."""

    name: ClassVar[str] = "pickles"

    def warm(self) -> None:
        """See `Format.warm`."""
        import torch

        import kandinsky_core.checkpoints.torch_files  # noqa: F401

        torch.set_num_threads(1)

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        pickled, values = pickled_state(_TENSORS)
        kind = random.random()
        how: list[str] = []
        if kind < 0.6:
            for _ in range(random.choice((1, 1, 2, 3))):
                pickled, done = _changed_program(random, pickled)
                how.append(done)
        if 0.5 < kind < 0.8:
            content, done = _changed_archive(random, pickled, values)
            how.append(done)
        else:
            content = archive(pickled, values)
        if kind > 0.75:
            content, more = changed_bytes(random, content)
            how += more
        return Case({_FILE: content}, how)

    def read(self, case: Case, folder: Path) -> dict[str, Tensor]:
        """See `Format.read`."""
        from kandinsky_core.checkpoints.torch_files import TorchFile

        return all_tensors(TorchFile(folder / _FILE))

    def compare(self, found: dict[str, Tensor], case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        import torch

        try:
            tree = torch.load(folder / _FILE, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ReferenceRefusesError(repr(error)[:200]) from error
        wanted = list(_leaves(tree))
        if sorted(found) != sorted(name for name, _ in wanted):
            raise Difference(f"names {sorted(found)}, not {sorted(name for name, _ in wanted)}")
        codes = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
        for name, value in wanted:
            shape, code, content = found[name]
            raw = value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            known = codes.get(value.dtype, code)
            if (shape, code, content) != (tuple(value.shape), known, raw):
                raise Difference(f"{name!r} is {shape} {code}, not {value.shape} {value.dtype}")


def pickled_state(tensors: Mapping[str, Tensor]) -> tuple[bytes, dict[str, bytes]]:
    """Return the pickle of a state dict, and the values of its storages."""
    items, values = b"", {}
    for index, (name, (shape, code, content)) in enumerate(tensors.items()):
        values[str(index)] = content
        items += _text(name) + _tensor(str(index), shape, code, len(content))
    return b"\x80\x02" + _DICT + b"(" + items + b"u.", values


def archive(pickled: bytes, values: Mapping[str, bytes], root: str = "archive") -> bytes:
    """Return a zip archive of a pickle and storages."""
    members = {f"{root}/data.pkl": pickled, f"{root}/byteorder": b"little"}
    members |= {f"{root}/data/{key}": content for key, content in values.items()}
    members[f"{root}/version"] = b"3\n"
    return _zipped(members)


def _zipped(members: Mapping[str, bytes], *, compressed: str | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)  # its date is 1980, whatever the clock says
            kind = zipfile.ZIP_DEFLATED if name == compressed else zipfile.ZIP_STORED
            made.writestr(entry, content, kind)
    return file.getvalue()


def _changed_archive(
    random: Random, pickled: bytes, values: Mapping[str, bytes]
) -> tuple[bytes, str]:
    members = {"archive/data.pkl": pickled, "archive/byteorder": b"little"}
    members |= {f"archive/data/{key}": content for key, content in values.items()}
    members["archive/version"] = b"3\n"
    name = random.choice(list(members))
    kind = random.choice(("rename", "drop", "compress", "second", "bomb", "cut", "directory"))
    if kind == "rename":
        prefix = random.choice(("", "archive/"))
        members[prefix + odd_text(random)] = members.pop(name)
    elif kind == "drop":
        del members[name]
    elif kind == "compress":
        return _zipped(members, compressed=name), f"compress {name}"
    elif kind == "second":
        members[random.choice(("b/data.pkl", "archive/./data.pkl", "archive//data.pkl"))] = pickled
    elif kind == "bomb":
        members[name] = bytes(20 << 20)
        return _zipped(members, compressed=name), f"bomb in {name}"
    elif kind == "cut":
        members[name] = members[name][: random.randint(0, len(members[name]))]
    else:
        return _changed_directory(random, _zipped(members))
    try:
        return _zipped(members), f"{kind} {name}"
    except (UnicodeEncodeError, ValueError):  # names that zipfile itself does not write
        return _zipped({"archive/data.pkl": pickled}), f"{kind} {name}, alone"


def _changed_directory(random: Random, content: bytes) -> tuple[bytes, str]:
    """Set one field in a local header, an entry of the directory, or the end of a zip archive."""
    signature, fields = random.choice(
        (
            (b"PK\x03\x04", ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))),
            (
                b"PK\x01\x02",
                ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4)),
            ),
            (b"PK\x05\x06", ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
        )
    )
    places = [place for place in range(len(content)) if content.startswith(signature, place)]
    place, (offset, size) = random.choice(places), random.choice(fields)
    old = int.from_bytes(content[place + offset :][:size], "little")
    new = random.choice((old + 1, old - 1, old * 2, random.choice(NUMBERS))) % (1 << 8 * size)
    at = place + offset
    changed = content[:at] + new.to_bytes(size, "little") + content[at + size :]
    return changed, f"{signature!r} field {offset} is {new}"


def _changed_program(random: Random, pickled: bytes) -> tuple[bytes, str]:
    """Insert, repeat, remove or replace instructions of a pickle."""
    try:
        starts = [place for _, _, place in pickletools.genops(pickled) if place is not None]
    except Exception:  # noqa: BLE001 - an earlier change left no pickle
        return changed_bytes(random, pickled)[0], "bytes of the pickle"
    pieces = [pickled[a:b] for a, b in zip(starts, [*starts[1:], len(pickled)], strict=True)]
    place = random.randrange(len(pieces))
    kind = random.choice(("insert", "repeat", "remove", "swap", "number", "bait", "bait", "text"))
    if kind == "insert":
        pieces.insert(place, random.choice(pieces))
    elif kind == "repeat":
        pieces[place] *= random.choice((2, 10, 1000))
    elif kind == "remove":
        del pieces[place]
    elif kind == "swap":
        other = random.randrange(len(pieces))
        pieces[place], pieces[other] = pieces[other], pieces[place]
    elif kind == "number":
        numbers = [index for index, piece in enumerate(pieces) if piece[:1] in b"KMJ\x8a"]
        if numbers:
            pieces[random.choice(numbers)] = _number(random.choice(NUMBERS))
    elif kind == "text":
        texts = [index for index, piece in enumerate(pieces) if piece[:1] == b"X"]
        if texts:
            pieces[random.choice(texts)] = _text(odd_text(random))
    else:
        bait = random.choice(_BAIT)
        # In place of an argument it fits the program around it more often than in between.
        pieces[place] = bait if random.random() < 0.5 else bait + pieces[place]
    return b"".join(pieces), f"{kind} at instruction {place}"


def _tensor(key: str, shape: tuple[int, ...], code: str, size: int) -> bytes:
    storage, itemsize = _STORAGES[code]
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    reference = _text("storage") + b"ctorch\n" + storage.encode() + b"\n" + _text(key)
    reference += _text("cpu") + _number(size // itemsize)
    window = b"(" + b"".join(map(_number, shape)) + b"t(" + b"".join(map(_number, strides)) + b"t"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(("
    return call + reference + b"tQ" + _number(0) + window + b"\x89" + _DICT + b"tR"


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def _number(number: int) -> bytes:
    return pickle.dumps(number, 2)[2:-1]


def _leaves(tree: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every tensor of nested dicts, lists and tuples, with its name."""
    import torch

    if isinstance(tree, (list, tuple)):
        tree = dict(enumerate(tree))
    if isinstance(tree, torch.Tensor):
        yield prefix.removesuffix(".") or "the whole", tree
    elif isinstance(tree, dict) and depth < 50:
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}{key}.", depth + 1)
