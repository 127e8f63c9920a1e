"""Config of the ControlNet of Kandinsky 3: a branch beside the UNet, which reads a hint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kandinsky_core.configs.base import spec
from kandinsky_core.configs.kandinsky3 import Kandinsky3UNetConfig
from kandinsky_core.configs.rules import whole_number

__all__ = ["HINT_WIDTHS", "Kandinsky3ControlNetConfig"]

HINT_WIDTHS = (16, 32, 96, 256)
"""Channels of the convolutions that read a hint, which no config names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kandinsky3ControlNetConfig(Kandinsky3UNetConfig):
    """The branch's config: the fields of the UNet that it belongs to, and the hint's channels.

    Source: ai-forever/kandinsky3-diffusers, class UNetKandi3Controlnet. It has the levels of the
    way down without the last one.
    """

    CLASS_NAME: ClassVar[str] = "Kandinsky3ControlNetModel"

    hint_channels: int = spec(whole_number(1, 1000), 3)

    @property
    def branch_channels(self) -> tuple[int, ...]:
        """Channels of each level, and so of what the branch adds to the UNet's levels."""
        return self.block_out_channels[:-1]

    def _check_together(self) -> None:
        super(Kandinsky3ControlNetConfig, self)._check_together()
        if len(self.block_out_channels) < 2:
            raise self._refuse("block_out_channels", "at least 2 items, as the UNet has")
