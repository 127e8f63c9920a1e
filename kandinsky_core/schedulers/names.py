"""Finds a scheduler by the name of its class or by a short name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.config import check_choice
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
from kandinsky_core.schedulers.pndm import PNDMScheduler
from kandinsky_core.schedulers.refused import REFUSED_SCHEDULERS
from kandinsky_core.schedulers.unclip import UnCLIPScheduler
from kandinsky_core.schedulers.unipc import UniPCMultistepScheduler

__all__ = ["SCHEDULER_NAMES", "scheduler_by_name", "scheduler_from_config"]

_CLASSES: tuple[type[Scheduler], ...] = (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    Kandinsky3FlashScheduler,
    Kandinsky20Scheduler,
    Kandinsky3Scheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UnCLIPScheduler,
    UniPCMultistepScheduler,
)
_SHORT: dict[str, tuple[type[Scheduler], dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "ddpm": (DDPMScheduler, {}),
    "dpm++": (DPMSolverMultistepScheduler, {}),
    "dpm++-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "dpm++-sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++-single": (DPMSolverSinglestepScheduler, {}),
    "deis": (DEISMultistepScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-karras": (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "euler-ancestral": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpm2": (KDPM2DiscreteScheduler, {}),
    "dpm2-ancestral": (KDPM2AncestralDiscreteScheduler, {}),
    "lms": (LMSDiscreteScheduler, {}),
    "pndm": (PNDMScheduler, {}),
    "lcm": (LCMScheduler, {}),
    "kandinsky2.0": (Kandinsky20Scheduler, {}),
    "kandinsky3": (Kandinsky3Scheduler, {}),
}
SCHEDULER_NAMES = tuple(_SHORT)


def scheduler_from_config(config: Mapping[str, Any]) -> Scheduler:
    """Build the scheduler that `_class_name` names.

    Raises:
        ConfigError: The class is not supported (the message says why, if diffusers has it, and
            lists the supported ones), or a field is unknown or has an unsupported value.
    """
    by_name = {cls.__name__: cls for cls in _CLASSES}
    class_name = config.get("_class_name")
    reason = REFUSED_SCHEDULERS.get(class_name, "") if isinstance(class_name, str) else ""
    check_choice("scheduler config", "_class_name", class_name, tuple(by_name), reason)
    return by_name[str(class_name)].from_config(config)


def scheduler_by_name(name: str, config: Mapping[str, Any]) -> Scheduler:
    """Build another scheduler for the decoder that `config` was made for.

    Args:
        name: One of `SCHEDULER_NAMES`, in small or capital letters.
        config: Config of the decoder's present scheduler.

    Raises:
        InvalidInputError: The name is unknown; the message lists the known names.
        ConfigError: A value of the config is not supported by the other scheduler.
    """
    if name.lower() not in _SHORT:
        raise InvalidInputError(f"scheduler={name!r}: give one of {', '.join(SCHEDULER_NAMES)}")
    cls, overrides = _SHORT[name.lower()]
    return cls.from_config(config, **overrides)
