"""What all schedulers share: configs in and out, the table of alphas, forward noising.

A scheduler is its config: an immutable dataclass whose fields have the names, order and defaults of
the diffusers class. It holds no state of a run; `schedule` returns that as data.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from kandinsky_core.interfaces import FloatArray
from kandinsky_core.schedulers.betas import alphas_cumprod, beta_table
from kandinsky_core.schedulers.config import SIBLING_FIELDS, SchedulerConfig, check_choice
from kandinsky_core.schedulers.schedule import Schedule

__all__ = ["CONFIG_NAME", "Scheduler"]

CONFIG_NAME = "scheduler_config.json"


@dataclass(frozen=True)
class Scheduler(ABC):
    """Base of the schedulers.

    Attributes:
        carried: Fields of sibling schedulers that came with the config; unused, kept in `config`.

    Raises:
        ConfigError: A field has a value that is not supported.
    """

    carried: Mapping[str, Any] = field(
        default_factory=dict, kw_only=True, repr=False, compare=False
    )

    choices: ClassVar[Mapping[str, tuple[Any, ...]]]
    init_noise_sigma: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        for name, allowed in self.choices.items():
            check_choice(type(self).__name__, name, getattr(self, name), allowed)
        count = self._field("num_train_timesteps")
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(
                f"{type(self).__name__}: num_train_timesteps={count!r} must be a positive integer"
            )
        trained = self._field("trained_betas")
        if trained is not None:
            object.__setattr__(self, "trained_betas", tuple(float(beta) for beta in trained))
            if len(trained) != count:
                raise ConfigError(
                    f"{type(self).__name__}: trained_betas has {len(trained)} values for"
                    f" num_train_timesteps={count}: both must agree"
                )

    @abstractmethod
    def schedule(self, num_inference_steps: int, start: int = 0) -> Schedule:
        """Return the steps of one loop.

        Args:
            num_inference_steps: Steps of the whole loop, 1 to `num_train_timesteps`.
            start: Index of the first step that is taken (image to image starts later).

        Raises:
            InvalidInputError: A number is out of its range or no integer.
        """

    @property
    def config(self) -> SchedulerConfig:
        """All fields, the class name, and what siblings left, as diffusers' `config` shows them."""
        own = {name: getattr(self, name) for name in self._own_fields()}
        return SchedulerConfig({"_class_name": type(self).__name__, **own, **self.carried})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **overrides: Any) -> Self:
        """Build a scheduler from its own config or from that of another diffusers scheduler.

        Differs from diffusers in one point: a value is taken over even where the other class had it
        by default, since betas and prediction type belong to the trained network.

        Raises:
            ConfigError: A field belongs to no known scheduler, or a value is not supported.
        """
        own = cls._own_fields()
        foreign = sorted(set(overrides) - own)
        given = {name: value for name, value in config.items() if not name.startswith("_")}
        foreign += sorted(set(given) - own - SIBLING_FIELDS)
        if foreign:
            raise ConfigError(
                f"{cls.__name__}: unknown field {', '.join(foreign)}: remove it;"
                f" the fields are {', '.join(sorted(own))}"
            )
        carried = {name: value for name, value in given.items() if name not in own}
        values = {name: value for name, value in given.items() if name in own} | overrides
        return cls(**values, carried=carried)

    @classmethod
    def from_pretrained(cls, path: str | Path, subfolder: str | None = None) -> Self:
        """Read `scheduler_config.json` from a local folder.

        Raises:
            CheckpointError: The file is missing or is not JSON.
            ConfigError: As `from_config` raises.
        """
        file = Path(path, subfolder or "", CONFIG_NAME)
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(f"there is no {file}: give the folder that holds it") from None
        except ValueError as error:
            raise CheckpointError(f"{file} is not JSON ({error}): download it again") from None
        return cls.from_config(config)

    def save_pretrained(self, path: str | Path) -> None:
        """Write `scheduler_config.json`, which diffusers reads too; makes the folder if needed."""
        file = Path(path, CONFIG_NAME)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(self.config), indent=2) + "\n", encoding="utf-8")

    @cached_property
    def betas(self) -> FloatArray:
        """Variance that each training timestep adds, float32 [num_train_timesteps]."""
        return beta_table(
            self._field("beta_schedule"),
            self._field("beta_start"),
            self._field("beta_end"),
            self._field("num_train_timesteps"),
            self._field("trained_betas"),
        )

    @cached_property
    def alphas_cumprod(self) -> FloatArray:
        """Share of the signal's variance left at each timestep, float32 [num_train_timesteps]."""
        return alphas_cumprod(self.betas)

    def add_noise(
        self, original: FloatArray, noise: FloatArray, timestep: int | NDArray[np.integer[Any]]
    ) -> FloatArray:
        """Noise clean samples to a timestep: sqrt(alpha) * original + sqrt(1 - alpha) * noise.

        Args:
            original: float32 [B, ...].
            noise: float32 standard normals of that shape.
            timestep: One for all rows, or [B].

        Raises:
            InvalidInputError: A timestep lies outside 0 to `num_train_timesteps` - 1.
        """
        index = np.atleast_1d(np.asarray(timestep))
        last = len(self.alphas_cumprod) - 1
        if index.dtype.kind not in "iu" or index.min() < 0 or index.max() > last:
            raise InvalidInputError(f"timestep={timestep!r}: give integers from 0 to {last}")
        alpha = self.alphas_cumprod[index].reshape(-1, *[1] * (original.ndim - 1))  # [B, 1, ...]
        noisy: FloatArray = np.sqrt(alpha) * original + np.sqrt(np.float32(1) - alpha) * noise
        return noisy

    @classmethod
    def _own_fields(cls) -> frozenset[str]:
        return frozenset(entry.name for entry in fields(cls)) - {"carried"}

    @property
    def _x0_limit(self) -> float:
        return float(self._field("clip_sample_range")) if self._field("clip_sample") else math.inf

    def _field(self, name: str) -> Any:
        return getattr(self, name, None)  # UnCLIP has no beta_start, beta_end, trained_betas
