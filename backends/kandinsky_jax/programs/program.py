"""Compiles functions ahead of time, once for each shape, and logs every compilation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from kandinsky_backend_kit.bounded_programs import BoundedPrograms, make_room
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_jax.layers.platforms import tracing_for
from kandinsky_jax.placement.places import Batch
from kandinsky_jax.programs.cache import cache_hits
from kandinsky_jax.programs.compiler_options import compile_lowered, compiler_options
from kandinsky_jax.programs.kept_executables import kept_executable
from kandinsky_jax.programs.made_ready import note_use, take_ready

__all__ = ["Program"]


class Program:
    """A function of arrays that is compiled when it meets new shapes.

    Its programs are among those that `kandinsky_backend_kit.bounded_programs` bounds: one that was
    dropped is made again, which mostly takes it from the disk.

    The first argument is the weights. Their shapes never change and are no part of the key, so that
    a call does not walk through hundreds of arrays.

    Args:
        name: The program's name in the log.
        function: A pure function; its first argument is the weights. Its programs outlive the
            process if `kandinsky_jax.programs.description` can describe it.
        log: Where compilations are recorded.
        donate: Positions of arguments whose buffers the result may take over.
        shared: Positions of arguments that are the same for all rows. The other arguments and the
            result have one row or several for each picture.
        network: What it is a program of, told from other networks by `describe`. A later process
            makes the program ready while it loads that network.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        log: CompilationLog,
        donate: tuple[int, ...] = (),
        shared: tuple[int, ...] = (),
        network: Any = None,
    ) -> None:
        self._name = name
        self._function = function
        self._log = log
        self._donate = donate
        self._shared = shared
        self._network = network
        self._compiled: BoundedPrograms[jax.stages.Compiled] = BoundedPrograms()

    def __call__(self, batch: Batch, weights: Any, *arguments: Any) -> Any:
        arguments = batch.arrange(arguments, self._shared)
        compiled = self._compile(batch, weights, arguments)
        if compiling_only():
            return jax.tree.map(_zeros, _shapes(compiled))
        return compiled(weights, *arguments)

    def shapes(self, batch: Batch, weights: Any, *arguments: Any) -> Any:
        """Compile, and return the result's shapes and places without running."""
        arguments = batch.arrange(arguments, self._shared)
        return _shapes(self._compile(batch, weights, arguments))

    def _compile(
        self, batch: Batch, weights: Any, arguments: tuple[Any, ...]
    ) -> jax.stages.Compiled:
        leaves, structure = jax.tree.flatten(arguments)
        key = (batch.split, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        compiled = self._compiled.get(key)
        if compiled is None:
            make_room()
            start = time.perf_counter()
            compiled, cached = self._make(batch, weights, arguments)
            # The first argument, the sample or the prompt, tells the shape; the rest follows it.
            shape = str(leaves[0].shape)
            self._log.add(self._name, shape, time.perf_counter() - start, cached=cached)
            self._compiled.add(key, compiled, f"{self._name} for shape {shape}", _size(compiled))
        return compiled

    def _make(
        self, batch: Batch, weights: Any, arguments: tuple[Any, ...]
    ) -> tuple[jax.stages.Compiled, bool]:
        """Take the program from the disk or compile it; also return whether it was there."""
        made_from = (self._name, self._function, self._donate, self._shared)
        entry = kept_executable(batch, made_from, (weights, *arguments))
        if entry is None:
            hits = cache_hits()
            options = compiler_options(batch.devices[0], weights)
            lowered = self._lower(batch, weights, arguments)
            return compile_lowered(lowered, options), cache_hits() > hits
        if self._network is not None:
            note_use(self._network, batch, entry)
        compiled = take_ready(entry) or entry.load()
        if compiled is not None:
            return compiled, True
        return entry.compile(self._lower(batch, weights, arguments))

    def _lower(self, batch: Batch, weights: Any, arguments: tuple[Any, ...]) -> jax.stages.Lowered:
        jitted = batch.jit(_own(self._function), self._shared, self._donate)
        with tracing_for(batch.target):
            lowered: jax.stages.Lowered = jitted.lower(weights, *arguments)
        return lowered


def _own(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return another function that does the same, for one program.

    JAX's own caches keep every program of a function for as long as the function lives. And no
    result has a weak type, which would make another program of the next one that reads it: when
    compiling ahead of time there are only the shapes and dtypes of results.
    """

    def run(*arguments: Any) -> Any:
        return jax.tree.map(_with_strong_type, function(*arguments))

    # The name is in the key of JAX's own cache.
    run.__name__ = getattr(getattr(function, "func", function), "__name__", "run")
    return run


def _with_strong_type(result: jax.Array) -> jax.Array:
    return jax.lax.convert_element_type(result, result.dtype)


def _size(compiled: jax.stages.Compiled) -> int:
    """Return the bytes of a program's code, or 0 where the device's compiler does not tell."""
    try:
        analysis = compiled.memory_analysis()
    except (NotImplementedError, jax.errors.JaxRuntimeError):
        return 0
    return int(getattr(analysis, "generated_code_size_in_bytes", 0))


def _shapes(compiled: jax.stages.Compiled) -> Any:
    def place(result: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(result.shape, result.dtype, sharding=sharding)

    return jax.tree.map(place, compiled.out_info, compiled.output_shardings)


def _zeros(result: Any) -> jax.Array:
    """Return zeros in place of a result, with its shape and on its devices."""
    host = np.zeros(result.shape, result.dtype)
    return jax.make_array_from_callback(host.shape, result.sharding, lambda index: host[index])
