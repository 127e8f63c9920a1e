"""Keeps compiled programs for later processes, which then trace and compile nothing.

A program has two entries in the store. The first one is found by what the program is made from,
before anything is traced. It names the second one, the machine code, which is found by the code
that was traced: where only the source of this library changed, programs that are still the same
are traced again and not compiled.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import serialize_executable

from kandinsky_backend_kit.file_store import KEY_BYTES, FileStore
from kandinsky_jax.placement.places import Batch
from kandinsky_jax.programs.cache import cache_hits, program_store
from kandinsky_jax.programs.compiler_options import compile_lowered, compiler_options
from kandinsky_jax.programs.description import UndescribedError, describe, described_arrays
from kandinsky_jax.programs.surroundings import compiler, sources, tuning

__all__ = ["KeptExecutable", "kept_executable"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptExecutable:
    """The place of one program in the store, where it may be or not.

    Attributes:
        store: The store.
        key: The key of what the program is made from.
        compiled_for: A description of all that decides what a compiler makes of traced code.
        devices: Where it runs.
        options: What the compiler is told.
    """

    store: FileStore
    key: bytes
    compiled_for: Any
    devices: tuple[jax.Device, ...]
    options: Mapping[str, str | bool]

    def load(self) -> jax.stages.Compiled | None:
        """Return the program, or None where it must be traced."""
        content = self.store.get(self.key)
        if content is None:
            return None
        code_key, pickled = content[:KEY_BYTES], content[KEY_BYTES:]
        try:
            trees = pickle.loads(pickled)
        except Exception as error:  # noqa: BLE001 - whatever it is, the entry can be made again
            self.store.drop(self.key, f"it cannot be read ({_line(error)})")
            return None
        return self._load(code_key, trees)

    def compile(self, lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, bool]:
        """Take the machine code of traced code from the store, or make it.

        Returns:
            The program, and whether it was in the store, or in a cache of JAX.
        """
        trees = (jax.tree.structure(lowered.args_info), lowered.out_tree)
        code_key = _key("machine code", self.compiled_for, _kept(lowered), lowered.as_text())
        compiled = self._load(code_key, trees)
        cached = compiled is not None
        if compiled is None:
            hits = cache_hits()
            compiled = compile_lowered(lowered, self.options)
            if cache_hits() > hits:  # JAX's cache gave it, and on a CPU it cannot be written again
                return compiled, True
            self._save(code_key, compiled)
        self.store.put(self.key, code_key + pickle.dumps(trees))
        return compiled, cached

    def _load(self, code_key: bytes, trees: tuple[Any, Any]) -> jax.stages.Compiled | None:
        content = self.store.get(code_key)
        if content is None:
            return None
        try:
            given, returned = trees
            found: jax.stages.Compiled = serialize_executable.deserialize_and_load(
                content,
                given,
                returned,
                backend=self.devices[0].client,
                execution_devices=self.devices,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the entry can be made again
            self.store.drop(code_key, f"JAX cannot load it ({_line(error)})")
            return None
        return found

    def _save(self, code_key: bytes, compiled: jax.stages.Compiled) -> None:
        try:
            content, _, _ = serialize_executable.serialize(compiled)
        except Exception as error:  # noqa: BLE001 - each compiler has reasons of its own
            logger.info("a program is not kept for the next process: %s", _line(error))
            return
        self.store.put(code_key, content)


def kept_executable(batch: Batch, made_from: Any, arguments: Any) -> KeptExecutable | None:
    """Return the place of a program, or None where programs are not kept.

    Args:
        batch: Where its rows lie.
        made_from: Its function, and all options that change what is compiled.
        arguments: The arrays that it is compiled for, or their shapes, those of the weights first.
    """
    store, code = program_store(), sources()
    if store is None or code is None or jax.process_count() > 1:  # many processes compile together
        return None
    try:
        made = describe(made_from)
    except UndescribedError as error:
        logger.debug("a program is not kept for the next process: %s", error)
        return None
    structure, arrays = described_arrays(arguments)
    options = compiler_options(batch.devices[0], arguments[0])
    told = tuple(options.items())
    compiled_for = (compiler(batch.devices[0]), told, batch.description, arrays)
    key = _key("program", compiled_for, structure, made, code.hex(), tuning())
    return KeptExecutable(store, key, compiled_for, batch.devices, options)


def _key(*parts: Any) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _kept(lowered: jax.stages.Lowered) -> Any:
    """Return which arguments the traced code has; it lacks those that it does not use."""
    return sorted(lowered._lowering.compile_args["kept_var_idx"])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
