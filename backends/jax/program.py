"""Functions compiled ahead of time, once for each shape, and a log of every compilation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

__all__ = ["Compilation", "CompilationLog", "Program"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compilation:
    """One compilation: of what, for which shape of its first input, how long."""

    program: str
    shape: str
    seconds: float


class CompilationLog(list[Compilation]):
    """Every compilation of a backend, in order. Each is logged once at level INFO."""

    def add(self, program: str, shape: str, seconds: float) -> None:
        """Record and log one compilation."""
        self.append(Compilation(program, shape, seconds))
        logger.info("compiled %s for shape %s in %.1f s", program, shape, seconds)


class Program:
    """A function of arrays that is compiled when it meets new shapes.

    The first argument is the weights, whose shapes never change: they are left out of the key, so
    that a call does not walk through hundreds of arrays.

    Args:
        name: For the log.
        function: Pure function; its first argument is the weights.
        log: Where compilations are recorded.
        donate: Positions of arguments whose buffers the result may take over.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        log: CompilationLog,
        donate: tuple[int, ...] = (),
    ) -> None:
        self._name = name
        self._jitted = jax.jit(function, donate_argnums=donate)
        self._log = log
        self._compiled: dict[Any, jax.stages.Compiled] = {}

    def __call__(self, weights: Any, *arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        key = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        compiled = self._compiled.get(key)
        if compiled is None:
            start = time.perf_counter()
            compiled = self._jitted.lower(weights, *arguments).compile()
            self._compiled[key] = compiled
            # The first argument, the sample or the prompt, tells the shape; the rest follows it.
            self._log.add(self._name, str(leaves[0].shape), time.perf_counter() - start)
        return compiled(weights, *arguments)

    def clear(self) -> None:
        """Forget what was compiled, after the weights moved to another device."""
        self._compiled.clear()
