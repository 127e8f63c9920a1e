"""The config of a scheduler: what its fields may hold, and a mapping to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_type_hints

import numpy as np

from kandinsky_core.configs.rules import (
    LARGEST_TABLE,
    Rule,
    list_of,
    number,
    of_annotation,
    optional,
    shown,
    whole_number,
)
from kandinsky_core.errors import ConfigError

__all__ = ["SIBLING_FIELDS", "SchedulerConfig", "check_choice", "checked_field"]

# Fields of diffusers' schedulers and of ours. A class carries the fields that it does not have
# along unused, so that a config can pass from one class to another and back. Any other unknown
# field is an error.
SIBLING_FIELDS = frozenset(
    {
        "algorithm_type",
        "beta_end",
        "beta_schedule",
        "beta_start",
        "clip_sample",
        "clip_sample_range",
        "disable_corrector",
        "dynamic_thresholding_ratio",
        "eta",
        "euler_at_final",
        "final_sigmas_type",
        "float32_variance",
        "flow_shift",
        "interpolation_type",
        "lambda_min_clipped",
        "lower_order_final",
        "original_inference_steps",
        "percentile",
        "predict_x0",
        "prediction_type",
        "rescale_betas_zero_snr",
        "sample_max_value",
        "sampler",
        "set_alpha_to_one",
        "shift_terminal",
        "sigma_max",
        "sigma_min",
        "skip_prk_steps",
        "solver_order",
        "solver_p",
        "solver_type",
        "steps_offset",
        "thresholding",
        "time_shift_type",
        "timestep_scaling",
        "timestep_spacing",
        "timestep_type",
        "trained_betas",
        "use_beta_sigmas",
        "use_dynamic_shifting",
        "use_exponential_sigmas",
        "use_flow_sigmas",
        "use_karras_sigmas",
        "use_lu_lambdas",
        "variance_type",
    }
)


_SHARE = number("a number from 0 to 1", lambda value: 0 <= value <= 1)
_BETA = number("a number above 0 and below 1", lambda value: 0 < value < 1)
# Within these bounds neither a value nor its square leaves the range of float32.
_POSITIVE = number("a number from 1e-10 to 1e10", lambda value: 1e-10 <= value <= 1e10)
_INDEX = list_of(whole_number(0, LARGEST_TABLE), LARGEST_TABLE)
_INDICES = Rule(
    "a list of step numbers from 0 on", lambda value: () if value == [] else _INDEX.parse(value)
)
_RANGES: Mapping[str, Rule] = {
    "beta_end": _BETA,
    "beta_start": _BETA,
    "clip_sample_range": _POSITIVE,
    "disable_corrector": _INDICES,
    "eta": _SHARE,
    "num_train_timesteps": whole_number(1, LARGEST_TABLE),
    "original_inference_steps": whole_number(1, LARGEST_TABLE),
    "percentile": _SHARE,
    "sigma_max": optional(_POSITIVE),
    "sigma_min": optional(_POSITIVE),
    "timestep_scaling": _POSITIVE,
    "steps_offset": whole_number(0, LARGEST_TABLE),
    "trained_betas": optional(
        list_of(number("a number above 0, at most 1", lambda value: 0 < value <= 1), LARGEST_TABLE)
    ),
}
"""What fields may hold whose type alone does not say it; the same in each class that has them."""


def checked_field(cls: type, field: str, value: Any, default: Any) -> Any:
    """Return the value of a scheduler's field in plain Python types.

    Args:
        cls: The scheduler's class, whose annotation gives the type.
        field: The field's name.
        value: What is given; numbers and arrays of NumPy are taken, too.
        default: The field's default, which is always allowed.

    Raises:
        ConfigError: The value has another type than the field, or is out of range.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if type(value) is type(default) and value == default:
        return value
    rule = _RANGES.get(field) or of_annotation(_annotations(cls)[field])
    try:
        return rule.parse(value)
    except ValueError:
        raise ConfigError(
            f"{cls.__name__}: {field}={shown(value)} must be {rule.allowed}"
        ) from None


@cache
def _annotations(cls: type) -> Mapping[str, Any]:
    return get_type_hints(cls)


class SchedulerConfig(Mapping[str, Any]):
    """A scheduler's config to read: `config.beta_start`, `config["beta_start"]`, `dict(config)`."""

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __getattr__(self, name: str) -> Any:
        if name == "_items":  # not set yet while unpickling or copying
            raise AttributeError(name)
        try:
            return self._items[name]
        except KeyError:
            raise AttributeError(f"the scheduler config has no field {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"SchedulerConfig({self._items})"


def check_choice(
    owner: str, field: str, value: Any, allowed: tuple[Any, ...], reason: str = ""
) -> None:
    """Raise a ConfigError that names field, value and the allowed values unless `value` is one."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        why = f" ({reason})" if reason else ""
        raise ConfigError(
            f"{owner}: {field}={shown(value)} is not supported{why}, allowed: {choices}"
        )
