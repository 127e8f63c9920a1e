"""The log of what a backend compiles."""

from __future__ import annotations

import logging
from dataclasses import dataclass

__all__ = ["Compilation", "CompilationLog"]

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
