"""The ControlNet of Kandinsky 3 on MindSpore: loads as a network, runs beside a UNet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.control import CONTROL_SCALE, CONTROL_WINDOW, require_fit
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule
from kandinsky_mindspore.components.denoise import MindSporeKandinsky3UNet, MindSporeRun
from kandinsky_mindspore.components.network import MindSporeNetwork
from kandinsky_mindspore.networks.kandinsky3_control import branch_form, prepare_branch
from kandinsky_mindspore.networks.kandinsky3_image_prompt import text_alone
from kandinsky_mindspore.networks.kandinsky3_unet import kandinsky3_form

__all__ = ["MindSporeControlNet", "MindSporeControlledUNet"]


class MindSporeControlNet(MindSporeNetwork):
    """The branch; see `kandinsky_core.seam.control.ControlNet`. It runs eagerly."""

    def beside(self, unet: MindSporeKandinsky3UNet) -> MindSporeControlledUNet:
        """See `kandinsky_core.seam.control.ControlNet.beside`."""
        require_fit(self, unet)
        return MindSporeControlledUNet(unet, self)

    def prepare(self, text: Mapping[str, Any], hint: Any) -> dict[str, Any]:
        """See `prepare_branch`."""
        self._arrive()
        return prepare_branch(self._cell, text, hint)

    def predict(
        self, sample: Any, timestep: Any, conditioning: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """Return what is added to the UNet's skips, the highest level first."""
        self._arrive()
        found: tuple[Any, ...] = self._run(
            sample, timestep, *(conditioning[n] for n in self._names)
        )
        return found

    def _arrive(self) -> None:
        if self._offloaded is not None:  # the UNet has had its turn
            self._turn.take(self._offloaded)

    def _settle(self) -> None:
        super()._settle()
        self._names, self._run = branch_form(self._cell)


class MindSporeControlledUNet:
    """A UNet and its branch; a loop runs one after the other. It holds no weights of its own."""

    def __init__(self, unet: MindSporeKandinsky3UNet, branch: MindSporeControlNet) -> None:
        self._unet, self._branch = unet, branch
        self.config, self.dtype, self.quantize = unet.config, unet.dtype, unet.quantize
        self._levels = len(branch.config.branch_channels)
        self._names, run = kandinsky3_form(unet._cell, unet.config, self._levels)
        self._run: Callable[..., Any] = run

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> MindSporeRun:
        """See `kandinsky_core.seam.networks.Denoiser.begin`."""
        self._unet._check(sample)
        own: Any = self
        return MindSporeRun(own, sample, conditioning, guidance_scale, rule, kept, guidance_rescale)

    def tensors(self, conditioning: Mapping[str, Array]) -> dict[str, Any]:
        """Return conditioning as tensors; in half precision timesteps would be other ones."""
        found = self._unet.tensors(conditioning)
        window = np.ascontiguousarray(conditioning[CONTROL_WINDOW], np.float32)
        return {**found, CONTROL_WINDOW: ms.Tensor(window)}

    def prepare(self, conditioning: dict[str, Any]) -> dict[str, Any]:
        """Compute what all steps share, for both networks."""
        left = dict(conditioning)
        hint = left.pop("hint")
        scales = tuple(left.pop(CONTROL_SCALE.format(level)) for level in range(self._levels))
        window = left.pop(CONTROL_WINDOW)
        text = self._unet.prepare(left)
        branch = self._branch.prepare(text_alone(self._unet._cell, text), hint)
        return {**text, "branch": branch, "scales": scales, "window": window}

    def predict(self, sample: Any, timestep: Any, conditioning: Mapping[str, Any]) -> Any:
        """Run both on tensors of B rows, each with its timestep [B]."""
        window = conditioning["window"]
        within = mint.logical_and(timestep <= window[:, 0], timestep >= window[:, 1])
        within = within.astype(sample.dtype).reshape(-1, 1, 1, 1)
        found = self._branch.predict(sample, timestep, conditioning["branch"])
        residuals = [
            residual * (scale * within)
            for residual, scale in zip(found, conditioning["scales"], strict=True)
        ]
        self._unet.arrive()
        return self._run(
            sample, timestep, *(conditioning[name] for name in self._names), *residuals
        )
