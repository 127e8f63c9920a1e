"""The base of all schedulers: the rules of configs, and the table of alphas.

A scheduler is its config: an immutable dataclass whose fields have the names, order and defaults of
the diffusers class. What pipelines need of it, `schedule` returns as data. What a loop written by
hand needs beside that is in `hand_loop.py`.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.configs.rules import shown
from kandinsky_core.errors import ConfigError
from kandinsky_core.schedulers.betas import alphas_cumprod, beta_table, without_terminal_signal
from kandinsky_core.schedulers.coefficients import ONE
from kandinsky_core.schedulers.config import (
    SIBLING_FIELDS,
    SchedulerConfig,
    check_choice,
    checked_field,
)
from kandinsky_core.schedulers.config_files import ConfigFiles
from kandinsky_core.schedulers.hand_loop import HandLoop
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.schedulers.scheduler_names import SchedulerNames
from kandinsky_core.seam.step_rules import Threshold

__all__ = ["Scheduler"]

# These fields say how a network was trained; they pass to another class even if nobody gave them.
_TRAINED_FIELDS = frozenset(
    {
        "beta_end",
        "beta_schedule",
        "beta_start",
        "num_train_timesteps",
        "prediction_type",
        "trained_betas",
    }
)
_SMALLEST = np.finfo(np.float32).tiny  # smaller numbers have fewer digits
_BETAS = (
    "the betas (beta_start, beta_end, trained_betas, rescale_betas_zero_snr) leave a timestep with"
    " {} in float32: take those that the network was trained with"
)


@dataclass(frozen=True)
class Scheduler(ConfigFiles, HandLoop, SchedulerNames, ABC):
    """A rule that says how a denoising loop moves from noise to a picture; base of all schedulers.

    Attributes:
        carried: Fields of other schedulers that came with the config. They have no effect and stay
            in `config`.

    Raises:
        ConfigError: A field has a value that is not supported.
    """

    carried: Mapping[str, Any] = field(
        default_factory=dict, kw_only=True, repr=False, compare=False
    )

    choices: ClassVar[Mapping[str, tuple[Any, ...]]]
    reasons: ClassVar[Mapping[str, str]] = {}  # why other choices of a field are left out
    aliases: ClassVar[Mapping[str, Mapping[str, str]]] = {}  # other solvers' values -> own ones
    terminal_alpha: ClassVar[float] = 0.0  # what `rescale_betas_zero_snr` leaves of the signal
    interchangeable: ClassVar[bool] = True  # whether a decoder's scheduler can be of this class
    has_compatibles: ClassVar[bool] = True
    _given: ClassVar[Set[str]] = frozenset()  # each instance gets its own

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note which fields are given: only the others change when the class is switched."""
        scheduler = super().__new__(cls)
        names = [entry.name for entry in fields(cls) if not entry.kw_only]
        object.__setattr__(scheduler, "_given", {*names[: len(args)], *kwargs})
        return scheduler

    def __post_init__(self) -> None:
        owner = type(self)
        for entry in fields(self):
            if entry.name != "carried":
                value = checked_field(owner, entry.name, self._field(entry.name), entry.default)
                own = self.aliases.get(entry.name, {})
                object.__setattr__(self, entry.name, own.get(value, value) if own else value)
        for name, allowed in self.choices.items():
            reason = self.reasons.get(name, "")
            check_choice(owner.__name__, name, self._field(name), allowed, reason)
        if self._threshold is not None:
            _check_threshold(owner.__name__, self._threshold)
        count, trained = self._field("num_train_timesteps"), self._field("trained_betas")
        if trained is not None and len(trained) != count:
            raise ConfigError(
                f"{owner.__name__}: trained_betas has {len(trained)} values for"
                f" num_train_timesteps={count}: both must agree"
            )
        self._check_noise()

    def _check_noise(self) -> None:
        """Refuse betas that float32 cannot tell from 0: steps divide by what they add."""
        table = self._alphas
        # Where no signal is left, it cannot fall. Rescaling sets the last timestep apart, so that
        # it need not lie below its neighbour.
        others = table[:-1] if self._field("rescale_betas_zero_snr") else table
        before = np.append(ONE, others[:-1])
        falls = (others < before) | (before < _SMALLEST)
        if not (falls.all() and (table < 1).all()):
            raise ConfigError(f"{type(self).__name__}: {_BETAS.format('no noise of its own')}")

    @abstractmethod
    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop.

        Args:
            num_inference_steps: Steps of the whole loop, 1 to `num_train_timesteps`.
            start: Index of the first step that is taken (image to image starts later).

        Raises:
            InvalidInputError: A number is out of its range or no integer.
            ConfigError: The first sample is pure noise and the network predicts noise: no clean
                sample follows from it. Or another sample is pure noise.
        """

    @property
    def config(self) -> SchedulerConfig:
        """All fields, the class name and `carried`, as diffusers' `config` shows them.

        `_use_default_values` names the fields that nobody gave. Fields that diffusers does not have
        are shown only where they differ from their defaults.
        """
        shown = [
            entry.name
            for entry in fields(self)
            if not entry.kw_only
            or (entry.name != "carried" and getattr(self, entry.name) != entry.default)
        ]
        own = {name: getattr(self, name) for name in shown}
        defaults = {"_use_default_values": [name for name in shown if name not in self._given]}
        return SchedulerConfig(
            {"_class_name": type(self).__name__, **own, **self.carried, **defaults}
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **overrides: Any) -> Self:
        """Build a scheduler from its own config or from that of another diffusers scheduler.

        As in diffusers, a field that the other scheduler had by default gets this class's default.
        Betas and prediction type are excepted, since they belong to the trained network.

        Raises:
            ConfigError: A field belongs to no known scheduler, or a value is not supported.
        """
        own = cls._own_fields()
        foreign = sorted(set(overrides) - own)
        dropped = _defaults_of(config) - _TRAINED_FIELDS
        given = {
            name: value
            for name, value in config.items()
            if not name.startswith("_") and name not in dropped
        }
        foreign += sorted(set(given) - own - SIBLING_FIELDS)
        if foreign:
            raise ConfigError(
                f"{cls.__name__}: unknown field {', '.join(foreign)}: remove it;"
                f" the fields are {', '.join(sorted(own))}"
            )
        values = {name: value for name, value in given.items() if name in own} | overrides
        return cls(**values, carried={name: given[name] for name in given if name not in own})

    @cached_property
    def betas(self) -> FloatArray:
        """Variance that each training timestep adds, float32 [num_train_timesteps]."""
        betas = beta_table(
            self._field("beta_schedule"),
            self._field("beta_start"),
            self._field("beta_end"),
            self._field("num_train_timesteps"),
            self._field("trained_betas"),
        )
        return without_terminal_signal(betas) if self._field("rescale_betas_zero_snr") else betas

    @cached_property
    def alphas_cumprod(self) -> FloatArray:
        """Share of the signal's variance left at each timestep, float32 [num_train_timesteps].

        Raises:
            ConfigError: A timestep before the last one is pure noise, or the last one in a class
                that cannot start from it. Steps would divide by zero.
        """
        table = self._alphas
        last = table[-1] >= _SMALLEST or self.terminal_alpha == table[-1]
        if not ((table[:-1] >= _SMALLEST).all() and last):
            raise ConfigError(f"{type(self).__name__}: {_BETAS.format('no signal')}")
        return table

    @cached_property
    def _alphas(self) -> FloatArray:
        with np.errstate(all="ignore"):
            table = alphas_cumprod(self.betas)
        if self._field("rescale_betas_zero_snr"):
            table[-1] = self.terminal_alpha
        return table

    @property
    def alphas(self) -> FloatArray:
        """Share of the signal's variance that each training timestep leaves, float32."""
        alphas: FloatArray = ONE - self.betas
        return alphas

    @property
    def compatibles(self) -> list[type[Scheduler]]:
        """The classes that the same network can be sampled with, its own class among them."""
        others: list[type[Scheduler]] = []
        if self.interchangeable:
            others = _concrete(Scheduler)  # type: ignore[type-abstract]
        return sorted({type(self), *others}, key=lambda cls: cls.__name__)

    @classmethod
    def _own_fields(cls) -> frozenset[str]:
        return frozenset(entry.name for entry in fields(cls)) - {"carried"}

    @property
    def _threshold(self) -> Threshold | None:
        if not self._field("thresholding"):
            return None
        maximum = self._field("sample_max_value")
        return Threshold(
            self._field("dynamic_thresholding_ratio"), math.inf if maximum is None else maximum
        )

    @property
    def _x0_limit(self) -> float:
        return float(self._field("clip_sample_range")) if self._field("clip_sample") else math.inf

    def _field(self, name: str) -> Any:
        return getattr(self, name, None)  # UnCLIP has no beta_start, beta_end, trained_betas


def _concrete(cls: type[Scheduler]) -> list[type[Scheduler]]:
    """Return the classes below a class that one can make and that stand for one another."""
    below = [each for sub in cls.__subclasses__() for each in (sub, *_concrete(sub))]
    return [each for each in below if each.interchangeable and not inspect.isabstract(each)]


def _defaults_of(config: Mapping[str, Any]) -> set[str]:
    """Return the fields of a config that nobody gave."""
    names = config.get("_use_default_values", [])
    if not isinstance(names, list | tuple | Set) or not all(isinstance(n, str) for n in names):
        raise ConfigError(
            f"scheduler config: _use_default_values={shown(names)} must be a list of names"
        )
    return set(names)


def _check_threshold(owner: str, threshold: Threshold) -> None:
    if not 0 <= threshold.ratio <= 1:
        raise ConfigError(
            f"{owner}: dynamic_thresholding_ratio={threshold.ratio!r} must be a number from 0 to 1"
        )
    if not threshold.maximum >= 1:
        raise ConfigError(
            f"{owner}: sample_max_value={threshold.maximum!r} must be at least 1, or None"
        )
