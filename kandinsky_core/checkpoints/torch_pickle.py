"""Reads the pickles that PyTorch saves weights in, without running anything they ask for.

A pickle is a program for a small machine. The machine here knows the instructions that `torch.save`
uses for tensors in dicts, lists and tuples, and builds such data. It imports nothing, calls
nothing, and sets no attribute. It looks up only the names in `ALLOWED`, each of which stands for
data here. Every other name and instruction is refused before anything has happened.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from kandinsky_core.budgets import PICKLE_BYTES, PICKLE_INSTRUCTIONS
from kandinsky_core.checkpoints.tensor_specs import checked_name, checked_shape
from kandinsky_core.errors import CheckpointError
from kandinsky_core.seam.stored_dtypes import STORED

__all__ = ["ALLOWED", "Storage", "StridedTensor", "read_pickle"]

_STORAGE_DTYPES = {entry.torch: entry.code for entry in STORED.values()}

# The state of a training by PyTorch Lightning names the class of what wrote it, as a key beside
# the weights. Here the name is a text like other keys: it is neither looked up nor called.
_KEYS = frozenset({"pytorch_lightning.callbacks.model_checkpoint ModelCheckpoint"})

ALLOWED = frozenset(
    {
        *_KEYS,
        "collections OrderedDict",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor_v2",
        *(f"torch {name}" for name in _STORAGE_DTYPES),
    }
)
"""The names that a pickle may hold, as 'module name'."""

_MARK = object()


@dataclass(frozen=True, slots=True)
class Storage:
    """Values that lie outside the pickle, in a file of their own."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class StridedTensor:
    """A window into a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    text: str


def read_pickle(data: bytes) -> Any:
    """Return the dicts, lists, tuples, numbers, texts and tensors that a pickle describes.

    Args:
        data: One pickle, whole.

    Raises:
        CheckpointError: The pickle asks for anything but data, or is damaged. The message does not
            name the file.
    """
    if len(data) > PICKLE_BYTES:
        raise CheckpointError(
            f"its pickle has {len(data):,} bytes; weights need far fewer, allowed are "
            f"{PICKLE_BYTES:,}"
        )
    machine = _Machine()
    try:
        for name, argument in _instructions(data):
            if name == "STOP":
                return machine.end()
            machine.run(name, argument)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"its pickle is damaged ({error!r})") from error
    raise CheckpointError("its pickle has no end")


def _instructions(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of each instruction; of one that is not known, nothing is read."""
    file = BytesIO(data)
    for count in range(PICKLE_INSTRUCTIONS + 1):
        code = file.read(1)
        if not code:
            return
        if code not in _CODES:
            raise ValueError(f"no instruction {code!r} at {file.tell() - 1}")
        name, read = _CODES[code]
        if name not in _KNOWN:
            raise CheckpointError(f"its pickle uses {name}, which weights have no need of")
        if count == PICKLE_INSTRUCTIONS:
            raise CheckpointError(
                f"its pickle has more than {PICKLE_INSTRUCTIONS:,} instructions; "
                "weights need far fewer"
            )
        yield name, None if read is None else read(file)


class _Machine:
    """The machine that a pickle runs on, with its stack and its memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)

    def pop(self) -> Any:
        """Take the top of the stack, which must be a value."""
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark in place of a value")
        return value

    def end(self) -> Any:
        """Take the one value that is left on the stack."""
        value = self.pop()
        if self.stack:
            raise ValueError("values are left over")
        return value

    def pop_to_mark(self) -> list[Any]:
        """Take the values above the last mark."""
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind: type) -> Any:
        """Return the top of the stack, which must be of a given type."""
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{kind.__name__} expected")
        return self.stack[-1]

    def name(self, argument: str) -> None:
        if argument not in ALLOWED:
            raise CheckpointError(
                f"its pickle names {argument.replace(' ', '.', 1)!r}, which weights have no need "
                "of and which would run code in PyTorch"
            )
        self.stack.append(_Name(argument))

    def name_from_stack(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is no text")
        self.name(f"{module} {name}")

    def call(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise TypeError("a call of what is no name")
        self.stack.append(_build(function.text, arguments))

    def attach(self, _: Any) -> None:
        """Drop attributes; a state dict has one with the versions of its layers."""
        state = self.pop()
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict):
            raise CheckpointError("its pickle gives attributes to what is no dict")

    def storage(self, _: Any) -> None:
        kind, storage_type, key, _device, count = self.pop()[:5]
        if kind != "storage" or not isinstance(storage_type, _Name) or not isinstance(key, str):
            raise TypeError("no storage")
        dtype = _STORAGE_DTYPES[storage_type.text.removeprefix("torch ")]
        self.stack.append(Storage(key, dtype, _count(count)))

    def put(self, argument: Any) -> None:
        self.memo[int(argument)] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    def set_items(self, pairs: list[Any]) -> None:
        """Put keys and values into a dict, where a number becomes the text of it.

        So 1 and "1" are one name, as they are to whoever reads the tensors. Python's hash of texts
        is random, while numbers can be chosen so that a dict of them takes for ever.
        """
        target = self.top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if isinstance(key, _Name) and key.text in _KEYS:
                key = key.text.replace(" ", ".")
            name = str(_count(key)) if isinstance(key, int) else checked_name(key)
            if name in target:
                raise ValueError(f"two entries are named {name!r}")
            target[name] = value

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def set_many(self, _: Any) -> None:
        self.set_items(self.pop_to_mark())

    def append(self, _: Any) -> None:
        value = self.pop()
        self.top(list).append(value)

    def append_many(self, _: Any) -> None:
        values = self.pop_to_mark()
        self.top(list).extend(values)

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(values[::-1]))


def _build(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "collections OrderedDict":
        if arguments:
            raise TypeError("an OrderedDict of something")
        return {}
    if name == "torch._utils _rebuild_parameter":
        if not isinstance(arguments[0], StridedTensor):
            raise TypeError("a parameter of no tensor")
        return arguments[0]
    if name != "torch._utils _rebuild_tensor_v2":
        raise TypeError(f"a call of {name}")
    storage, offset, shape, strides = arguments[:4]
    shape = checked_shape(shape)
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise TypeError("no tensor")
    return StridedTensor(storage, _count(offset), shape, tuple(map(_count, strides)))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError("no count")
    return value


_LITERALS = frozenset(
    {
        "BINFLOAT",
        "BININT",
        "BININT1",
        "BININT2",
        "BINUNICODE",
        "BINUNICODE8",
        "LONG1",
        "SHORT_BINUNICODE",
    }
)
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "NONE": lambda: None,
}
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_many,
    "BINGET": _Machine.get,
    "BINPERSID": _Machine.storage,
    "BINPUT": _Machine.put,
    "BUILD": _Machine.attach,
    "GLOBAL": _Machine.name,
    "LONG_BINGET": _Machine.get,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "REDUCE": _Machine.call,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_many,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
}
_KNOWN = _LITERALS | _CONSTANTS.keys() | _ACTIONS.keys() | {"FRAME", "PROTO", "STOP"}
_CODES: Mapping[bytes, tuple[str, Callable[[BytesIO], Any] | None]] = {
    entry.code.encode("latin-1"): (entry.name, entry.arg.reader if entry.arg else None)
    for entry in pickletools.opcodes
}
