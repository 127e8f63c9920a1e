"""MindSpore's `.ckpt` files. The reference is Google's reader of protocol buffers, if installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tools.fuzz.cases.byte_changes import NUMBERS, changed_bytes
from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError
from tools.fuzz.cases.json_changes import odd_text
from tools.fuzz.formats.safetensors import Tensor, all_tensors

__all__ = ["MindSpore"]

_FILE = "w.ckpt"
_TYPES = ("Float32", "Float16", "BFloat16", "Int64", "Bool", "Float33", "", "float32", "\ud800")
_SIZES = {"Float32": 4, "Float16": 2, "BFloat16": 2, "Int64": 8, "Bool": 1}
_VALUES: list[tuple[str, list[int], str, bytes]] = [
    ("a.weight", [2, 3], "Float32", bytes(24)),
    ("a.bias", [2], "Float16", b"\0\x3e\0\x40"),
    ("count", [0], "Int64", bytes(8)),
]
_CHECKSUM = 17  # bytes: `crc_num` and ten digits


class MindSpore(Format):
    """One file of three tensors."""

    name: ClassVar[str] = "ckpt"

    def warm(self) -> None:
        """See `Format.warm`."""
        import kandinsky_core.checkpoints.mindspore_files  # noqa: F401

        _message()

    def make(self, random: Random) -> Case:
        """See `Format.make`."""
        values: list[list[Any]] = [list(value) for value in _VALUES]
        how = []
        if random.random() < 0.6:
            how += [_change(random, values) for _ in range(random.randint(1, 2))]
        content = b"".join(_value(*value) for value in values)
        if random.random() < 0.2:
            content += b"crc_num" + random.choice((b"0123456789", b"9999999999", b"x" * 10, b"1"))
            how.append("checksum")
        if not how or random.random() < 0.3:
            content, more = changed_bytes(random, content)
            how += more
        return Case({_FILE: content}, how)

    def read(self, case: Case, folder: Path) -> dict[str, Tensor]:
        """See `Format.read`."""
        from kandinsky_core.checkpoints.mindspore_files import MindSporeFile

        return all_tensors(MindSporeFile(folder / _FILE))

    def compare(self, found: dict[str, Tensor], case: Case, folder: Path) -> None:
        """See `Format.compare`."""
        from kandinsky_core.seam.stored_dtypes import STORED

        message = _message()
        if message is None:
            return
        content = (folder / _FILE).read_bytes()
        if content[-_CHECKSUM:].startswith(b"crc_num"):
            content = content[:-_CHECKSUM]
        try:
            read = message.FromString(content)
        except Exception as error:
            raise ReferenceRefusesError(str(error)[:200]) from error
        wanted: dict[str, Tensor] = {}
        codes = {entry.mindspore: entry.code for entry in STORED.values()}
        for value in read.value:
            tensor = value.tensor
            shape = () if list(tensor.dims) == [0] else tuple(tensor.dims)
            code = codes.get(tensor.tensor_type, tensor.tensor_type)
            before = wanted.get(value.tag, (shape, code, b""))
            wanted[value.tag] = (shape, code, before[2] + tensor.tensor_content)
        if found != wanted:
            raise Difference(f"{_shown(found)}, not {_shown(wanted)}")


@cache
def _message() -> Any:
    """Return the class of the file's message; None where protocol buffers are not installed."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        return None
    file = descriptor_pb2.FileDescriptorProto(name="c.proto", package="fuzz", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    layout: dict[str, list[tuple[str, int, int, int]]] = {
        "TensorProto": [
            ("dims", 1, kinds.TYPE_INT64, kinds.LABEL_REPEATED),
            ("tensor_type", 2, kinds.TYPE_STRING, kinds.LABEL_REQUIRED),
            ("tensor_content", 3, kinds.TYPE_BYTES, kinds.LABEL_REQUIRED),
        ],
        "Value": [
            ("tag", 1, kinds.TYPE_STRING, kinds.LABEL_REQUIRED),
            ("tensor", 2, kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL),
        ],
        "Checkpoint": [("value", 1, kinds.TYPE_MESSAGE, kinds.LABEL_REPEATED)],
    }
    for name, fields in layout.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            inner = {"tensor": ".fuzz.TensorProto", "value": ".fuzz.Value"}.get(field)
            message.field.add(name=field, number=number, type=kind, label=label, type_name=inner)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fuzz.Checkpoint"))


def _change(random: Random, values: list[list[Any]]) -> str:
    """Change one value in place, and say how."""
    if not values:
        return "nothing left"
    index = random.randrange(len(values))
    value = values[index]
    kind = random.choice(("name", "dims", "dims", "type", "content", "twice", "drop", "piece"))
    if kind == "name":
        value[0] = random.choice((odd_text(random), values[0][0]))
    elif kind == "dims":
        value[1] = [random.choice(NUMBERS) for _ in range(random.choice((0, 1, 2, 3, 9, 100)))]
    elif kind == "type":
        value[2] = random.choice(_TYPES)
    elif kind == "content":
        value[3] = random.randbytes(random.choice((0, 1, 4, 8, 24)))
    elif kind == "twice":
        values.insert(index, list(value))
    elif kind == "drop":
        del values[index]
    else:  # as MindSpore cuts large tensors
        cut = random.randint(0, len(value[3]))
        values[index : index + 1] = [[*value[:3], value[3][:cut]], [*value[:3], value[3][cut:]]]
    return f"{kind} of value {index}"


def _value(name: str, dims: list[int], kind: str, content: bytes) -> bytes:
    tensor = b"".join(b"\x08" + _varint(side) for side in dims)
    tensor += _field(2, kind.encode("utf-8", "surrogatepass")) + _field(3, content)
    return _field(1, _field(1, name.encode("utf-8", "surrogatepass")) + _field(2, tensor))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    number %= 1 << 64
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _shown(tensors: dict[str, Tensor]) -> str:
    return repr({name: (*tensor[:2], len(tensor[2])) for name, tensor in tensors.items()})[:300]
