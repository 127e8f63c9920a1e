"""Schedulers: from a config and a number of steps to a table of coefficients, in NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.config import SchedulerConfig, check_choice
from kandinsky_core.schedulers.ddim import DDIMScheduler
from kandinsky_core.schedulers.ddpm import DDPMScheduler
from kandinsky_core.schedulers.schedule import ROW_FIELDS, Schedule, step
from kandinsky_core.schedulers.unclip import UnCLIPScheduler

__all__ = [
    "ROW_FIELDS",
    "DDIMScheduler",
    "DDPMScheduler",
    "Schedule",
    "Scheduler",
    "SchedulerConfig",
    "UnCLIPScheduler",
    "scheduler_from_config",
    "step",
]

_CLASSES: tuple[type[Scheduler], ...] = (DDIMScheduler, DDPMScheduler, UnCLIPScheduler)


def scheduler_from_config(config: Mapping[str, Any]) -> Scheduler:
    """Build the scheduler that `_class_name` names.

    Raises:
        ConfigError: The class is not supported (the message lists those that are), or a field is
            unknown or has an unsupported value.
    """
    by_name = {cls.__name__: cls for cls in _CLASSES}
    class_name = config.get("_class_name")
    check_choice("scheduler config", "_class_name", class_name, tuple(by_name))
    return by_name[str(class_name)].from_config(config)
