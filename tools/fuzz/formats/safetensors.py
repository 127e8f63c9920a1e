"""safetensors files; the reference is the `safetensors` library itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from tools.fuzz.cases.byte_changes import NUMBERS, changed_bytes
from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError
from tools.fuzz.cases.json_changes import changed_json, odd_text, odd_value

__all__ = ["Safetensors", "Tensor", "all_tensors", "encoded", "same_tensors"]

Tensor = tuple[tuple[int, ...], str, bytes]
"""Shape, dtype as safetensors names it, and the bytes of the values."""

_FILE = "w.safetensors"
_TENSORS: dict[str, Tensor] = {
    "a.weight": ((2, 3), "F32", np.arange(6, dtype="<f4").tobytes()),
    "a.bias": ((2,), "F16", np.array([1.5, 2], "<f2").tobytes()),
    "half": ((2, 1, 2), "BF16", bytes(range(8))),
    "none": ((0, 2), "F32", b""),
    "count": ((), "I64", (7).to_bytes(8, "little")),
    "flags": ((3,), "BOOL", b"\1\0\1"),
}
_CODES = ("F32", "F16", "BF16", "F64", "I8", "U8", "BOOL", "I64", "F8_E4M3", "C64", "X", "", "f32")


def encoded(tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[dict[str, Any], bytes]:
    """Return header and data of a file."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, (shape, dtype, content) in tensors.items():
        ends = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": ends}
        data += content
    return header, data


def all_tensors(file: Any) -> dict[str, Tensor]:
    """Read every tensor of a `Tensors`.

    Raises:
        Difference: The values do not have the shape and dtype that the file names.
    """
    from kandinsky_core.seam.stored_dtypes import STORED

    found = {}
    for name in file.names():
        shape, code = file.spec(name)
        values = file.read(name)
        if values.shape != tuple(shape) or values.dtype != STORED[code].numpy:
            raise Difference(f"{name!r} is {shape} {code}, and was read as {values.shape}")
        found[name] = (tuple(shape), code, np.ascontiguousarray(values).tobytes())
    return found


def same_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise `Difference` where two sets of tensors differ."""
    if sorted(found) != sorted(wanted):
        raise Difference(f"names {sorted(found)}, not {sorted(wanted)}")
    for name, tensor in found.items():
        if tensor != wanted[name]:
            raise Difference(f"{name!r} is {tensor[:2]}, not {wanted[name][:2]}, or other values")


class Safetensors(Format):
    """One file with tensors of several dtypes."""

    name: ClassVar[str] = "safetensors"
    strict: ClassVar[bool] = True

    def warm(self) -> None:
        """See `Format.warm`."""
        import safetensors  # noqa: F401

        import kandinsky_core.checkpoints.safetensors_files  # noqa: F401

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        header, data = encoded(_TENSORS, {"format": "pt"})
        if random.random() < 0.4:
            text = json.dumps(header).encode()
            content, how = changed_bytes(random, struct.pack("<Q", len(text)) + text + data)
            return Case({_FILE: content}, how)
        if random.random() < 0.3:
            text, how = changed_json(random, header)
        else:
            how = [_change_entry(random, header) for _ in range(random.choice((1, 1, 2, 3)))]
            text = json.dumps(header).encode()
        if random.random() < 0.1:
            text += b" " * random.choice((1, 8, 1000))
        length = random.choice(NUMBERS) % (1 << 64) if random.random() < 0.05 else len(text)
        data += b"\0" * random.choice((0, 0, 0, 0, 1, 8))
        return Case({_FILE: struct.pack("<Q", length) + text + data}, how)

    def read(self, case: Case, folder: Path) -> dict[str, Tensor]:
        """See `Format.read`."""
        from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles

        return all_tensors(SafetensorsFiles([folder / _FILE]))

    def compare(self, found: dict[str, Tensor], case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        same_tensors(found, reference(folder / _FILE))


def reference(path: Path) -> dict[str, Tensor]:
    """Read a file with the library of the format."""
    import safetensors

    try:
        entries = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ReferenceRefusesError(str(error)) from error
    return {
        name: (tuple(entry["shape"]), entry["dtype"], bytes(entry["data"]))
        for name, entry in entries
    }


def _change_entry(random: Random, header: dict[str, Any]) -> str:
    """Change one entry of a header in place, and say how."""
    name = random.choice([name for name in header if name != "__metadata__"] or ["new"])
    entry: Any = header.get(name)
    kind = random.choice(("offset", "shape", "dtype", "rename", "swap", "metadata", "odd"))
    if not (isinstance(entry, dict) and {"shape", "data_offsets"} <= set(entry)):
        kind = "odd"
    if kind == "offset":
        entry["data_offsets"][random.randrange(2)] = random.choice(NUMBERS)
    elif kind == "shape":
        sides = [*entry["shape"], random.choice(NUMBERS)]
        random.shuffle(sides)
        entry["shape"] = sides[: random.randint(0, 4)]
    elif kind == "dtype":
        entry["dtype"] = random.choice(_CODES)
    elif kind == "rename":
        header[odd_text(random)] = header.pop(name)
    elif kind == "swap":
        other = random.choice(list(header))
        header[name], header[other] = header[other], header[name]
    elif kind == "metadata":
        header["__metadata__"] = random.choice(
            ({}, {"format": odd_text(random)}, odd_value(random))
        )
    else:
        header[name] = odd_value(random)
    return f"{kind} of {name!r}"
