"""The setting that turns refusals for too little memory into warnings."""

from __future__ import annotations

import logging
import os

from kandinsky_core.errors import DeviceMemoryError
from kandinsky_core.validation import one_of

__all__ = ["SETTING", "refuse"]

SETTING = "KANDINSKY_MEMORY_CHECK"
"""The environment variable: `on`, its default, refuses what cannot fit; `off` warns and goes on."""

logger = logging.getLogger(__name__)


def refuse(problem: str) -> None:
    """Refuse what needs more memory than there is; where the setting is `off`, log a warning.

    Raises:
        DeviceMemoryError: The setting is `on`.
        InvalidInputError: The setting is neither.
    """
    if one_of(SETTING, os.environ.get(SETTING) or "on", ("on", "off")) == "on":
        raise DeviceMemoryError(problem)
    logger.warning("%s", problem)
