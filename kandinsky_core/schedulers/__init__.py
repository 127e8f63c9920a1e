"""Schedulers: from a config and a number of steps to a table of coefficients, in NumPy alone."""

from __future__ import annotations

from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.config import SchedulerConfig
from kandinsky_core.schedulers.ddim import DDIMScheduler
from kandinsky_core.schedulers.ddpm import DDPMScheduler
from kandinsky_core.schedulers.dpmsolver import DPMSolverMultistepScheduler
from kandinsky_core.schedulers.euler import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from kandinsky_core.schedulers.kandinsky3 import Kandinsky3FlashScheduler, Kandinsky3Scheduler
from kandinsky_core.schedulers.names import (
    SCHEDULER_NAMES,
    scheduler_by_name,
    scheduler_from_config,
)
from kandinsky_core.schedulers.schedule import ROW_FIELDS, Schedule, step
from kandinsky_core.schedulers.unclip import UnCLIPScheduler

__all__ = [
    "ROW_FIELDS",
    "SCHEDULER_NAMES",
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "Kandinsky3FlashScheduler",
    "Kandinsky3Scheduler",
    "Schedule",
    "Scheduler",
    "SchedulerConfig",
    "UnCLIPScheduler",
    "scheduler_by_name",
    "scheduler_from_config",
    "step",
]
