"""Schedulers: from a config and a number of steps to a table of coefficients, in NumPy alone."""

from __future__ import annotations

from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.config import SchedulerConfig
from kandinsky_core.schedulers.ddim import DDIMScheduler
from kandinsky_core.schedulers.ddpm import DDPMScheduler
from kandinsky_core.schedulers.deis import DEISMultistepScheduler
from kandinsky_core.schedulers.dpmsolver import DPMSolverMultistepScheduler
from kandinsky_core.schedulers.dpmsolver_singlestep import DPMSolverSinglestepScheduler
from kandinsky_core.schedulers.euler import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from kandinsky_core.schedulers.heun import HeunDiscreteScheduler
from kandinsky_core.schedulers.kandinsky2_0 import Kandinsky20Scheduler
from kandinsky_core.schedulers.kandinsky3 import Kandinsky3FlashScheduler, Kandinsky3Scheduler
from kandinsky_core.schedulers.kdpm2 import (
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
)
from kandinsky_core.schedulers.lcm import LCMScheduler
from kandinsky_core.schedulers.lms import LMSDiscreteScheduler
from kandinsky_core.schedulers.names import (
    SCHEDULER_NAMES,
    scheduler_by_name,
    scheduler_from_config,
)
from kandinsky_core.schedulers.pndm import PNDMScheduler
from kandinsky_core.schedulers.refused import REFUSED_SCHEDULERS
from kandinsky_core.schedulers.schedule import ROW_FIELDS, Schedule, step
from kandinsky_core.schedulers.step_output import SchedulerOutput
from kandinsky_core.schedulers.unclip import UnCLIPScheduler
from kandinsky_core.schedulers.unipc import UniPCMultistepScheduler

__all__ = [
    "REFUSED_SCHEDULERS",
    "ROW_FIELDS",
    "SCHEDULER_NAMES",
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "Kandinsky3FlashScheduler",
    "Kandinsky3Scheduler",
    "Kandinsky20Scheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "Schedule",
    "Scheduler",
    "SchedulerConfig",
    "SchedulerOutput",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
    "scheduler_by_name",
    "scheduler_from_config",
    "step",
]
