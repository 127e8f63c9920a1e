"""Runs the prior and the UNet in their loops, eagerly or as programs that MindSpore compiles."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import mint, ops

from kandinsky_backend_kit.guided_step import ArrayFunctions, clean_sample, guided_step
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.denoiser_calls import DenoiserCalls
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule
from kandinsky_mindspore.components.network import MindSporeNetwork, to_numpy
from kandinsky_mindspore.cpu.cpu_graph_ops import Compiling
from kandinsky_mindspore.networks.kandinsky2_0_unet import kandinsky20_form, prepare_texts
from kandinsky_mindspore.networks.kandinsky3_unet import kandinsky3_form, prepare_text
from kandinsky_mindspore.networks.super_resolution import super_resolution_form
from kandinsky_mindspore.networks.unet_forms import unet_form
from kandinsky_mindspore.programs.program import CompiledFunction
from kandinsky_mindspore.runtime import LOCK

__all__ = [
    "MindSporeKandinsky3UNet",
    "MindSporeKandinsky20UNet",
    "MindSporePrior",
    "MindSporeRun",
    "MindSporeSuperResUNet",
    "MindSporeUNet",
]

_FUNCTIONS = ArrayFunctions(
    concatenate=mint.cat,
    split_channels=lambda array, count: (array[:, :count], array[:, count:]),
    halve=lambda array: (array[: len(array) // 2], array[len(array) // 2 :]),
    sort=lambda values: ops.sort(values)[0],
)


class _Denoiser(DenoiserCalls, MindSporeNetwork):
    """Base of the networks that run once a step; only these are worth compiling."""

    _compiles_on_cpu: ClassVar[bool]

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
        """See `kandinsky_core.seam.networks.Denoiser.begin`.

        Raises:
            InvalidInputError: Height or width of a UNet's sample is no multiple of `size_multiple`
                (8 for the published models): the skips of odd levels would not fit, as in
                the reference.
        """
        self._check(sample)
        return MindSporeRun(
            self, sample, conditioning, guidance_scale, rule, kept, guidance_rescale
        )

    def output(
        self, sample: FloatArray, timestep: float, conditioning: Mapping[str, Array]
    ) -> FloatArray:
        """See `kandinsky_core.seam.denoiser_calls.DenoiserCalls.output`."""
        return self.begin(sample, conditioning, 1.0).output(timestep)

    def _check(self, sample: FloatArray) -> None:
        """Refuse a sample that the network cannot take."""

    def tensors(self, conditioning: Mapping[str, Array]) -> dict[str, Any]:
        """Return conditioning as tensors on the device; see `tensor`."""
        return {name: self.tensor(array) for name, array in conditioning.items()}

    def prepare(self, conditioning: dict[str, Any]) -> dict[str, Any]:
        """Turn conditioning, tensors by name, into tensors by name that all steps share."""
        return conditioning

    def predict(self, sample: Any, timestep: Any, conditioning: Mapping[str, Any]) -> Any:
        """Run the network on tensors of B rows, each with its timestep [B]."""
        self.arrive()
        rest = [conditioning[name] for name in self._conditioning_names]
        return self._run(sample, timestep, *rest)

    def arrive(self) -> None:
        """Bring offloaded weights back: another network may have had its turn since `tensor`."""
        if self._offloaded is not None:
            self._turn.take(self._offloaded)

    def _forward(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        """Return the names of the conditioning, and the network as a function of tensors.

        The function's arguments are the sample, the timestep, and the tensors of these names.
        """
        raise NotImplementedError

    def _settle(self) -> None:
        super()._settle()
        self._conditioning_names, run = self._forward()
        self._run = self._compiled(run)

    def _compiled(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of tensors that is compiled, where that is wanted and works."""
        # Compiled for a CPU, float16 gives wrong numbers.
        works = self._device != "cpu" or (self._compiles_on_cpu and self.dtype == "float32")
        if self._log is None or not works:
            return run
        around = Compiling(self._cell) if self._device == "cpu" else contextlib.nullcontext()
        return CompiledFunction(run, self.config.CLASS_NAME, self._log, around)


class MindSporeUNet(_Denoiser):
    """The decoder's denoiser: noise and its variance, [B,2C,h,w]."""

    _compiles_on_cpu = True

    def _check(self, sample: FloatArray) -> None:
        height, width = sample.shape[2:]
        multiple = self.config.size_multiple
        if height % multiple or width % multiple:
            raise InvalidInputError(
                f"latents are {height} x {width}; the UNet needs multiples of {multiple}"
            )

    def _forward(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        return unet_form(self._cell, self.config)


class MindSporeKandinsky3UNet(MindSporeUNet):
    """The denoiser of Kandinsky 3: noise alone, [B,C,h,w]."""

    _compiles_on_cpu = False  # its masked attentions call an operator that has no kernel there

    def prepare(self, conditioning: dict[str, Any]) -> dict[str, Any]:
        """See `kandinsky_mindspore.networks.kandinsky3_unet.prepare_text`."""
        return prepare_text(self._cell, conditioning, self.dtype)

    def _forward(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        return kandinsky3_form(self._cell, self.config)


class MindSporeKandinsky20UNet(MindSporeUNet):
    """The denoiser of Kandinsky 2.0: noise and its variance, [B,2C,h,w]."""

    def prepare(self, conditioning: dict[str, Any]) -> dict[str, Any]:
        """See `kandinsky_mindspore.networks.kandinsky2_0_unet.prepare_texts`."""
        return prepare_texts(self._cell, conditioning)

    def _forward(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        return kandinsky20_form(self._cell, self.config)


class MindSporeSuperResUNet(MindSporeUNet):
    """The denoiser of KandiSuperRes: clean pixels, [B,3,H,W]."""

    def _forward(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        return super_resolution_form(self._cell)


class MindSporePrior(_Denoiser):
    """The prior, which predicts the clean image embedding, [B,D], and holds its statistics."""

    _compiles_on_cpu = False  # see `cpu_graph_ops`

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.PriorDenoiser.clip_statistics`."""
        with LOCK:
            return to_numpy(self._cell.clip_mean), to_numpy(self._cell.clip_std)

    def _forward(self) -> tuple[tuple[str, ...], Callable[..., Any]]:
        cell = self._cell

        def prior(sample: Any, timestep: Any, embeds: Any, states: Any, mask: Any) -> Any:
            return cell(sample, timestep, embeds, states, mask)[0]

        return ("prompt_embeds", "text_encoder_hidden_states", "text_mask"), prior


class MindSporeRun:
    """One loop under way; see `kandinsky_core.seam.networks.DenoisingRun`.

    The sample stays float32, whatever dtype the network computes in.
    """

    def __init__(
        self,
        denoiser: _Denoiser,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        rule: StepRule,
        kept: Kept | None,
        guidance_rescale: float | None = None,
    ) -> None:
        self._denoiser = denoiser
        self._guidance_scale = guidance_scale
        self._rescale = guidance_rescale
        self._rule = rule
        self._kept: Kept | None = None
        self._sample: Any
        self._remembered: Any = None
        self.condition(conditioning, kept=kept)
        self.write(sample)

    def condition(
        self,
        conditioning: Mapping[str, Array],
        *,
        guidance_scale: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Replace the conditioning, which then stays on the device."""
        if guidance_scale is not None:
            self._guidance_scale = guidance_scale
        if kept is not None:
            self._kept = _placed(kept)
        tensors = self._denoiser.tensors(conditioning)
        with LOCK:
            self._conditioning = self._denoiser.prepare(tensors)

    def step(self, timestep: float, row: FloatArray, noise: FloatArray | None) -> None:
        """Run the network, guidance, and one row of the schedule."""
        with LOCK:
            # A scalar of NumPy would turn the tensor that it is multiplied with into an array.
            coefficients = [float(value) for value in row]
            self._sample, self._remembered = guided_step(
                _FUNCTIONS,
                lambda rows: self._predict(rows, timestep),
                coefficients,
                self._sample,
                self._remembered,
                None if noise is None else _float32(noise),
                channels=self._sample.shape[1],
                guidance_scale=self._guidance_scale if self._guidance_scale > 1 else None,
                rule=self._rule,
                kept=self._kept,
                guidance_rescale=self._rescale,
            )

    def read(self) -> FloatArray:
        """Return the sample. Waits for the device."""
        with LOCK:
            return to_numpy(self._sample)

    def predicted(self) -> FloatArray:
        """Return the clean sample of the last step. Waits for the device."""
        with LOCK:
            return clean_sample(self._remembered, self._sample.shape, to_numpy)

    def write(self, sample: FloatArray) -> None:
        """Replace the sample."""
        with LOCK:
            self._sample = _float32(sample)

    def output(self, timestep: float) -> FloatArray:
        """Return what the network gives for the sample; no step is taken."""
        with LOCK:
            return to_numpy(self._predict(self._sample, timestep))

    def _predict(self, rows: Any, timestep: float) -> Any:
        """Return the network's output for each row, in float32."""
        times = _float32(np.full(rows.shape[:1], timestep))
        network = self._denoiser
        output = network.predict(rows.astype(getattr(ms, network.dtype)), times, self._conditioning)
        return output.astype(ms.float32)


def _placed(kept: Kept) -> Kept:
    with LOCK:
        return Kept(
            original=_float32(kept.original),
            noise=_float32(kept.noise),
            mask=_float32(kept.mask),
        )


def _float32(array: Array) -> Any:
    return ms.Tensor(np.ascontiguousarray(array, np.float32))
