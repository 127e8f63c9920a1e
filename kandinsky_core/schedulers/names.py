"""Finds a scheduler by the name of its class or by a short name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.schedulers.base import Scheduler
from kandinsky_core.schedulers.config import check_choice
from kandinsky_core.schedulers.ddim import DDIMScheduler
from kandinsky_core.schedulers.ddpm import DDPMScheduler
from kandinsky_core.schedulers.dpmsolver import DPMSolverMultistepScheduler
from kandinsky_core.schedulers.euler import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from kandinsky_core.schedulers.kandinsky3 import Kandinsky3FlashScheduler, Kandinsky3Scheduler
from kandinsky_core.schedulers.unclip import UnCLIPScheduler

__all__ = ["SCHEDULER_NAMES", "scheduler_by_name", "scheduler_from_config"]

_CLASSES: tuple[type[Scheduler], ...] = (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    Kandinsky3FlashScheduler,
    Kandinsky3Scheduler,
    UnCLIPScheduler,
)
_SHORT: dict[str, tuple[type[Scheduler], dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "ddpm": (DDPMScheduler, {}),
    "dpm++": (DPMSolverMultistepScheduler, {}),
    "dpm++-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "dpm++-sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-karras": (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "euler-ancestral": (EulerAncestralDiscreteScheduler, {}),
    "kandinsky3": (Kandinsky3Scheduler, {}),
}
SCHEDULER_NAMES = tuple(_SHORT)


def scheduler_from_config(config: Mapping[str, Any]) -> Scheduler:
    """Build the scheduler that `_class_name` names.

    Raises:
        ConfigError: The class is not supported (the message lists the supported ones), or a field
            is unknown or has an unsupported value.
    """
    by_name = {cls.__name__: cls for cls in _CLASSES}
    class_name = config.get("_class_name")
    check_choice("scheduler config", "_class_name", class_name, tuple(by_name))
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
