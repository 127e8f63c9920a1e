"""The ControlNet of Kandinsky 3 on JAX: loads as a network, runs beside a UNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kandinsky_core.arrays import Array
from kandinsky_core.seam.control import require_fit
from kandinsky_jax.components.denoise import Form, JaxDenoiser
from kandinsky_jax.components.network import JaxNetwork
from kandinsky_jax.components.tiled_form import Tiled
from kandinsky_jax.components.turns import Holder
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["JaxControlNet", "JaxControlledUNet"]


class JaxControlNet(JaxNetwork):
    """The branch; see `kandinsky_core.seam.control.ControlNet`."""

    def beside(self, unet: JaxDenoiser) -> JaxControlledUNet:
        """See `kandinsky_core.seam.control.ControlNet.beside`."""
        require_fit(self, unet)
        return JaxControlledUNet(unet, self)


@dataclass(frozen=True, slots=True)
class _ControlledForm:
    """A UNet and its branch; see `kandinsky_jax.components.denoise.Form`."""

    unet: NetworkForm
    branch: NetworkForm

    @property
    def dtype(self) -> str:
        return self.unet.dtype

    def build(self, weights: Any) -> Any:
        from kandinsky_jax.networks.kandinsky3_control import ControlledUNet

        unet, branch = weights
        return ControlledUNet(self.unet.build(unet), self.branch.build(branch))


class JaxControlledUNet(JaxDenoiser):
    """A UNet and its branch, which run in one program. It holds no weights of its own.

    Its programs stay with those of the UNet, so that each call finds them again.
    """

    def __init__(self, unet: JaxDenoiser, branch: JaxControlNet) -> None:
        self.config = unet.config
        self._unet, self._branch = unet, branch
        self._place, self._log = unet._place, unet._log
        programs: Any = unet._programs
        self._programs = programs.setdefault(("beside", branch.config), {})

    @property
    def dtype(self) -> str:
        """Name of the dtype that both compute in."""
        return self._unet.dtype

    @property
    def quantize(self) -> str | None:
        """How the UNet keeps its weights; the branch keeps its own in the dtype."""
        return self._unet.quantize

    def tiled(self) -> None:
        """Return None: a UNet beside a ControlNet runs without tiles."""

    def laid_out(self, conditioning: Mapping[str, Array]) -> dict[str, Array]:
        """See `JaxDenoiser.laid_out`."""
        return self._unet.laid_out(conditioning)

    def placed_weights(self, holder: Holder | None = None) -> Any:
        """Return the weights of both; see `JaxNetwork.placed_weights`."""
        return self._unet.placed_weights(holder), self._branch.placed_weights(holder)

    def _built_of(self, tiled: Tiled | None = None) -> Form:
        return _ControlledForm(self._unet._form, self._branch._form)

    def _loaded_form(self) -> NetworkForm:
        return self._branch._form  # it is loaded last

    def _label(self, name: str) -> str:
        return f"{self._unet._label(name)} with {self._branch.config.CLASS_NAME}"
