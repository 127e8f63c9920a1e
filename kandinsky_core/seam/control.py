"""How core tells a backend of a ControlNet of Kandinsky 3: a branch that runs beside the UNet.

Strength and window of the branch are numbers, so that no program is compiled for them. Beside the
UNet's conditioning and `hint` [., c, 8h, 8w] there are
- for each level of the branch `control_scale_LEVEL` [., 1, h', w'], the factor of what the level
  adds, where h' and w' are its height and width: h / 2, h / 4, h / 8;
- `control_window` [., 2], the highest and the lowest timestep at which anything is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.networks import DenoisingRun, Network
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule

__all__ = [
    "CONTROL_SCALE",
    "CONTROL_WINDOW",
    "ControlNet",
    "LoopNetwork",
    "require_fit",
    "require_same_sizes",
]

CONTROL_SCALE = "control_scale_{}"
CONTROL_WINDOW = "control_window"


class LoopNetwork(Protocol):
    """What a denoising loop runs: a UNet, or a UNet with its branch."""

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> DenoisingRun:
        """See `kandinsky_core.seam.networks.Denoiser.begin`."""
        ...


class ControlNet(Network, Protocol):
    """The branch of Kandinsky 3, which is of use beside a UNet only."""

    def beside(self, unet: Any) -> LoopNetwork:
        """Return a UNet of the same backend with this branch beside it.

        Raises:
            InvalidInputError: The UNet does not fit the branch, or lies on another device.
        """
        ...


# Fields of both configs that must agree, as the branch adds to what the UNet computes.
_SHARED = ("block_out_channels", "cross_attention_dim")


def require_same_sizes(branch: Any, unet: Any) -> None:
    """Refuse the configs of a branch and a UNet that cannot run together.

    Raises:
        InvalidInputError: They differ in sizes.
    """
    differing = [name for name in _SHARED if getattr(branch, name) != getattr(unet, name)]
    found = [f"{name}={getattr(branch, name)} beside {getattr(unet, name)}" for name in differing]
    if branch.in_channels != unet.latent_channels:
        found.append(f"in_channels={branch.in_channels} beside {unet.latent_channels}")
    if found:
        raise InvalidInputError(
            f"the controlnet does not fit the UNet ({', '.join(found)}): load the two of one model"
        )


def require_fit(branch: Any, unet: Any) -> None:
    """Refuse a branch and a UNet that cannot run together.

    Raises:
        InvalidInputError: They differ in sizes, dtype or device.
    """
    require_same_sizes(branch.config, unet.config)
    for name in ("dtype", "device"):
        if getattr(branch, name) != getattr(unet, name):
            raise InvalidInputError(
                f"the controlnet has {name} {getattr(branch, name)} and the UNet "
                f"{getattr(unet, name)}: give both the same, controlnet.to({getattr(unet, name)!r})"
            )
