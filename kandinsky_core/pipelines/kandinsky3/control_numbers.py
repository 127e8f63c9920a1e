"""The numbers by which a call of a ControlNet says how strong its branch is, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.schedulers.schedule import Schedule
from kandinsky_core.seam.control import CONTROL_SCALE, CONTROL_WINDOW
from kandinsky_core.validation import one_of, real_number

__all__ = ["ControlNumbers", "check_hint_values"]

_ORDERS = ("RGB", "BGR")

_NEVER = (-1.0, 0.0)  # the highest and the lowest timestep of a window without steps


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlNumbers:
    """Strength and window of a ControlNet's branch.

    Attributes:
        scale: Factor of all that the branch adds: one number, or a map [H, W] of any size.
        start: Share of the steps after which the branch begins to count.
        end: Share of the steps after which it no longer counts.
    """

    scale: FloatArray
    start: float
    end: float

    @classmethod
    def check(cls, scale: Any, start: Any, end: Any) -> ControlNumbers:
        """Check the arguments of a call.

        Raises:
            InvalidInputError: The scale is neither a number nor a map, or the shares are out of
                range or in the wrong order.
        """
        name = "controlnet_conditioning_scale"
        found = np.asarray(as_array(name, scale), np.float32)
        if found.ndim == 0:
            real_number(name, found.item())
        if found.ndim not in (0, 2) or not found.size or not np.isfinite(found).all():
            raise InvalidInputError(
                f"{name} has shape {found.shape}: give a number, or a map [H, W] of finite numbers"
            )
        shares = [
            real_number(f"control_guidance_{which}", value)
            for which, value in (("start", start), ("end", end))
        ]
        if not 0 <= shares[0] <= shares[1] <= 1:
            raise InvalidInputError(
                f"control_guidance_start={start!r}, control_guidance_end={end!r}: give shares of "
                "the steps from 0 to 1, the start no later than the end"
            )
        return cls(scale=found, start=shares[0], end=shares[1])

    @property
    def usual(self) -> bool:
        """Whether these are the numbers that change nothing: 1 at every step."""
        return self.scale.ndim == 0 and (float(self.scale), self.start, self.end) == (1, 0, 1)

    def facts(self) -> dict[str, Any]:
        """Return the entries of a picture's metadata; of a map they say only that there was one."""
        scale = float(self.scale) if self.scale.ndim == 0 else "given"
        return {
            "controlnet_conditioning_scale": scale,
            "control_guidance_start": self.start,
            "control_guidance_end": self.end,
        }

    def conditioning(
        self, schedule: Schedule, latent_shape: tuple[int, int, int], levels: int, rows: int
    ) -> dict[str, Array]:
        """Return what the branch reads, as `kandinsky_core.seam.control` names it.

        Args:
            schedule: The steps that are taken.
            latent_shape: (C, h, w) of the sample.
            levels: Number of the branch's levels, each of which halves the sides.
            rows: Number of rows that the network gets.
        """
        _, height, width = latent_shape
        found: dict[str, Array] = {}
        for level in range(levels):
            sides = [side // 2 ** (level + 1) for side in (height, width)]
            plane = _nearest_exact(np.atleast_2d(self.scale), *sides)
            found[CONTROL_SCALE.format(level)] = np.repeat(plane[None, None], rows, axis=0)
        window = np.array(self._window(schedule), np.float32)
        return {**found, CONTROL_WINDOW: np.repeat(window[None], rows, axis=0)}

    def _window(self, schedule: Schedule) -> tuple[float, float]:
        """Return the highest and the lowest timestep at which the branch counts.

        Of S steps these are numbers int(S * start) to int(S * end), both included. Source:
        ai-forever/kandinsky3-diffusers; diffusers rounds both shares down otherwise.
        """
        count = len(schedule)
        first, last = int(count * self.start), min(int(count * self.end), count - 1)
        times = schedule.timesteps[first : last + 1]
        return (float(times.max()), float(times.min())) if len(times) else _NEVER


def check_hint_values(rescale: Any, value_range: Any, order: Any) -> tuple[float, Any]:
    """Check the other values that a call says of its hint.

    Args:
        rescale: `guidance_rescale`.
        value_range: `control_image_range`.
        order: `control_image_order`.

    Returns:
        The share of rescaled guidance, and the values for black and white.

    Raises:
        InvalidInputError: A value is of the wrong kind or range.
    """
    share = real_number("guidance_rescale", rescale)
    if not 0 <= share <= 1:
        raise InvalidInputError(f"guidance_rescale={rescale!r}: give a number from 0 to 1")
    one_of("control_image_order", order, _ORDERS)
    return share, _ends(value_range)


def _ends(value_range: Any) -> tuple[float, float]:
    """Return the values for black and for white.

    Raises:
        InvalidInputError: These are no two numbers, the first one lower.
    """
    try:
        low, high = value_range
    except (TypeError, ValueError):
        low = high = None
    if low is None or not real_number("control_image_range", low) < real_number(
        "control_image_range", high
    ):
        raise InvalidInputError(
            f"control_image_range={value_range!r}: give the values for black and for white, (0, 1) "
            "or (-1, 1)"
        )
    return float(low), float(high)


def _nearest_exact(plane: FloatArray, height: int, width: int) -> FloatArray:
    """Resize [H, W] as PyTorch's mode `nearest-exact`, which takes the pixel below a centre."""
    rows, columns = (
        np.floor((np.arange(made) + 0.5) * given / made).astype(int)
        for made, given in zip((height, width), plane.shape, strict=True)
    )
    found: FloatArray = plane[rows][:, columns]
    return found
