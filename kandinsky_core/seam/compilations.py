"""The log of what a backend compiles."""

from __future__ import annotations

import logging
from dataclasses import dataclass

__all__ = ["Compilation", "CompilationLog"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compilation:
    """One compilation: of what, for which shape of its first input, how long.

    Attributes:
        program: The network and what it does.
        shape: Of the first input.
        seconds: From the function to a program that can run.
        cached: Whether a process before this one had compiled it, and kept it.
    """

    program: str
    shape: str
    seconds: float
    cached: bool = False


class CompilationLog(list[Compilation]):
    """Every compilation of a backend, in order. Each is logged once at level INFO."""

    def add(self, program: str, shape: str, seconds: float, *, cached: bool = False) -> None:
        """Record and log one compilation."""
        self.append(Compilation(program, shape, seconds, cached))
        how = "took from the cache" if cached else "compiled"
        logger.info("%s %s for shape %s in %.1f s", how, program, shape, seconds)
