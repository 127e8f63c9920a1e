"""The config of a scheduler: a read-only mapping whose items are attributes too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kandinsky_core.errors import ConfigError

__all__ = ["SIBLING_FIELDS", "SchedulerConfig", "check_choice"]

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
        raise ConfigError(f"{owner}: {field}={value!r} is not supported{why}, allowed: {choices}")
