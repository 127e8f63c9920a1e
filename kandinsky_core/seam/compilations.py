"""The log of a backend's compilations, from which users see what took the time."""

from __future__ import annotations

import logging
from dataclasses import dataclass

__all__ = ["Compilation", "CompilationLog"]

# A name that users set levels by, wherever this file lies.
logger = logging.getLogger("kandinsky_core.compilations")


@dataclass(frozen=True, slots=True)
class Compilation:
    """One compilation: which program, for which shape of its first input, and how long it took.

    Attributes:
        program: The network and what it does.
        shape: Shape of the first input.
        seconds: Seconds from the function to a program that can run.
        cached: Whether an earlier process compiled the program and kept it.
    """

    program: str
    shape: str
    seconds: float
    cached: bool = False


class CompilationLog(list[Compilation]):
    """All compilations of a backend, in order. Each is logged once at level INFO."""

    def add(self, program: str, shape: str, seconds: float, *, cached: bool = False) -> None:
        """Record and log one compilation."""
        self.append(Compilation(program, shape, seconds, cached))
        how = "took from the cache" if cached else "compiled"
        logger.info("%s %s for shape %s in %.1f s", how, program, shape, seconds)
