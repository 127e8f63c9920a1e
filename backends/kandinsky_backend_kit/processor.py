"""Tells what the processor of this machine can do."""

from __future__ import annotations

import platform
import re
from pathlib import Path

__all__ = ["processor_flags", "processor_identity"]

PROCESSORS = Path("/proc/cpuinfo")
# Lines that say what a processor can do. The others are the speed, the number of a core, ...
_TELLING = re.compile(
    r"(vendor_id|cpu family|model|model name|flags|Features|isa|cpu|uarch"
    r"|CPU (implementer|architecture|variant|part))\s*:.*"
)
_ABILITIES = ("flags", "Features", "isa")


def processor_flags() -> list[str]:
    """Return the flags of the first processor from Linux; no flags on another system."""
    lines = (line for line in _first_processor() if line.startswith("flags"))
    return next(lines, "").split()


def processor_identity() -> str:
    """Return a text that two machines share only if one runs machine code made for the other.

    Where the system does not tell what its processor can do, the machine's name is in the text.
    """
    lines = [line for line in _first_processor() if _TELLING.fullmatch(line)]
    if not any(line.startswith(_ABILITIES) for line in lines):
        lines += [platform.processor(), platform.node()]
    return "\n".join([platform.system(), platform.machine(), *lines])


def _first_processor() -> list[str]:
    try:
        with PROCESSORS.open(encoding="utf-8", errors="replace") as lines:
            found = []
            for line in lines:
                if not line.strip():
                    break
                found.append(line.strip())
            return found
    except OSError:
        return []
