"""Runs the prior and the UNet in their loops: one compiled step, driven from Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from kandinsky_backend_kit.guided_step import ArrayFunctions, clean_sample, guided_step
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.seam.compile_only import compiling_only
from kandinsky_core.seam.denoiser_calls import DenoiserCalls
from kandinsky_core.seam.step_rules import PLAIN_RULE, Kept, StepRule
from kandinsky_jax.components.network import JaxNetwork, to_channels_last
from kandinsky_jax.components.tiled_form import Tiled, tiled_form, tiles_gain_in, tiling_program
from kandinsky_jax.programs.program import Program
from kandinsky_jax.runtime import at_work
from kandinsky_jax.weights.network_form import NetworkForm, jax_dtype

__all__ = ["Form", "JaxDenoiser", "JaxPrior", "JaxRun"]

_FUNCTIONS = ArrayFunctions(
    concatenate=jnp.concatenate,
    split_channels=lambda array, count: jnp.split(array, [count], axis=-1),
    halve=lambda array: jnp.split(array, 2),
    sort=jnp.sort,
)


class Form(Protocol):
    """What a program makes the network from; `NetworkForm`, or one of several of them."""

    @property
    def dtype(self) -> str:
        """Name of the dtype of the computation."""
        ...

    def build(self, weights: Any) -> Any:
        """Return the network, with weights that are the program's own."""
        ...


def _prepare(form: Form, weights: Any, conditioning: dict[str, Any]) -> Any:
    """Compute, once a run, everything that all steps share."""
    laid_out = {name: to_channels_last(array) for name, array in conditioning.items()}
    return form.build(weights).prepare(**laid_out)


def _step(
    form: Form,
    guided: bool,
    rule: StepRule,
    weights: Any,
    sample: Any,
    remembered: Any,
    noise: Any,
    timestep: Any,
    row: Any,
    guidance: Any,
    prepared: Any,
    kept: dict[str, Any] | None,
) -> tuple[Any, Any]:
    """Take a whole step: network, guidance, and one row of the schedule."""
    network, dtype = form.build(weights), jax_dtype(form.dtype)

    def predict(rows: Any) -> Any:
        times = jnp.broadcast_to(timestep, rows.shape[:1])
        return network(rows.astype(dtype), times, prepared).astype(jnp.float32)

    return guided_step(
        _FUNCTIONS,
        predict,
        row,
        sample,
        remembered,
        to_channels_last(noise),
        channels=sample.shape[-1],
        guidance_scale=guidance[0] if guided else None,
        rule=rule,
        kept=None if kept is None else Kept(**kept),
        guidance_rescale=guidance[1] if len(guidance) > 1 else None,
    )


def _output(form: Form, weights: Any, sample: Any, timestep: Any, prepared: Any) -> Any:
    """Run the network alone."""
    times = jnp.broadcast_to(timestep, sample.shape[:1])
    rows = sample.astype(jax_dtype(form.dtype))
    return form.build(weights)(rows, times, prepared).astype(jnp.float32)


class JaxDenoiser(DenoiserCalls, JaxNetwork):
    """A network that runs in a denoising loop, by compiled programs.

    Its `prepare` takes the conditioning; a call takes sample and timestep.

    Attributes:
        winograd: Whether its loops use the network's `tiled_form`, as they do on a CPU by default.
    """

    winograd: bool = False
    _tiled: Tiled | None = None
    _tiled_shapes: Tiled | None = None  # the same without values, to compile

    def tiled(self) -> Tiled | None:
        """Return the tiled form and its weights, or None if loops run the plain network."""
        if not self.winograd or self._offloaded or not tiles_gain_in(self.dtype):
            return None
        if self.quantize is not None:  # tiles would be kept in the dtype, four times as large
            return None
        if compiling_only():
            self._tiled_shapes = self._tiled_shapes or self._tile()
            return self._tiled_shapes
        self._tiled = self._tiled or self._tile()
        return self._tiled

    def _tile(self) -> Tiled:
        program = self._programs.get("tiles")
        if program is None:
            program = self._programs["tiles"] = tiling_program(self._log)
        return tiled_form(
            self._form, self.placed_weights(), program, self._place.batch(np.zeros(1))
        )

    def move(self, *, device: str | None = None, dtype: str | None = None) -> None:
        """See `JaxNetwork.to`."""
        self._tiled = self._tiled_shapes = None
        super().move(device=device, dtype=dtype)

    def offload(self) -> None:
        """See `JaxNetwork.offload`."""
        self._tiled = None
        super().offload()

    def _write_weights(self, values: Mapping[str, Array]) -> None:
        self._tiled = None
        super()._write_weights(values)

    def begin(
        self,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        *,
        rule: StepRule = PLAIN_RULE,
        kept: Kept | None = None,
        guidance_rescale: float | None = None,
    ) -> JaxRun:
        """See `kandinsky_core.seam.networks.Denoiser.begin`."""
        return JaxRun(self, sample, conditioning, guidance_scale, rule, kept, guidance_rescale)

    def output(
        self, sample: FloatArray, timestep: float, conditioning: Mapping[str, Array]
    ) -> FloatArray:
        """See `kandinsky_core.seam.denoiser_calls.DenoiserCalls.output`."""
        return self.begin(sample, conditioning, 1.0).output(timestep)

    def laid_out(self, conditioning: Mapping[str, Array]) -> dict[str, Array]:
        """Return conditioning as arrays, in shapes that need as few programs as possible."""
        return {name: np.asarray(array) for name, array in conditioning.items()}

    def prepare_program(self) -> Program:
        """Return the program that computes, once a run, everything that all steps share."""
        if "prepare" not in self._programs:
            function = partial(_prepare, self._built_of())
            self._programs["prepare"] = Program(
                self._label("prepare"), function, self._log, network=self._loaded_form()
            )
        return self._programs["prepare"]

    def step_program(self, tiled: Tiled | None, guided: bool, rule: StepRule) -> Program:
        """Return the program of a whole step: network, guidance, and one row of the schedule.

        The sample and what a step remembers stay float32, whatever dtype the
        network computes in; their buffers are donated.
        """
        key = ("step", guided, rule, tiled is None)
        if key not in self._programs:
            function = partial(_step, self._built_of(tiled), guided, rule)
            label = self._label("guided step" if guided else "step")
            self._programs[key] = Program(
                label,
                function,
                self._log,
                donate=(1, 2),
                shared=(4, 5, 6),
                network=self._loaded_form(),
            )
        return self._programs[key]

    def output_program(self, tiled: Tiled | None) -> Program:
        """Return the program of the network alone; its output is float32, channels last."""
        key = ("output", tiled is None)
        if key not in self._programs:
            function = partial(_output, self._built_of(tiled))
            self._programs[key] = Program(
                self._label("output"),
                function,
                self._log,
                shared=(2,),
                network=self._loaded_form(),
            )
        return self._programs[key]

    def _built_of(self, tiled: Tiled | None = None) -> Form:
        """Return what programs make the network from."""
        return self._form if tiled is None else tiled[0]

    def _loaded_form(self) -> NetworkForm:
        """Return the form of a network: programs are made ready while that one is loaded."""
        return self._form

    def _label(self, name: str) -> str:
        return f"{type(self.config).__name__.removesuffix('Config')} {name}"


class JaxPrior(JaxDenoiser):
    """The prior, which also holds the statistics of its embeddings."""

    def clip_statistics(self) -> tuple[FloatArray, FloatArray]:
        """See `kandinsky_core.seam.networks.PriorDenoiser.clip_statistics`."""
        if compiling_only():  # there may be no values
            return (np.zeros((1, self.config.embedding_dim), np.float32),) * 2
        with at_work(self.device):
            mean, std = map(
                self._place.get, (self._weights["clip_mean"], self._weights["clip_std"])
            )
        return np.asarray(mean, np.float32), np.asarray(std, np.float32)


class JaxRun:
    """One loop under way; see `kandinsky_core.seam.networks.DenoisingRun`."""

    def __init__(
        self,
        denoiser: JaxDenoiser,
        sample: FloatArray,
        conditioning: Mapping[str, Array],
        guidance_scale: float,
        rule: StepRule,
        kept: Kept | None,
        guidance_rescale: float | None = None,
    ) -> None:
        self._denoiser = denoiser
        self._weights: Any = None
        self._rule = rule
        self._rescale = guidance_rescale
        self._sample: jax.Array
        self._no_noise = np.zeros(sample.shape, np.float32)
        with at_work(denoiser.device):
            self._batch = denoiser._place.batch(sample)
            # All steps run the same form, whatever becomes of the network meanwhile.
            self._tiled = denoiser.tiled()
            self._kept: dict[str, jax.Array] | None = None
            self.condition(conditioning, guidance_scale=guidance_scale, kept=kept)
            self.write(sample)
            self._remembered = self._nothing_yet(sample.shape, rule)

    def condition(
        self,
        conditioning: Mapping[str, Array],
        *,
        guidance_scale: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Prepare the conditioning, which then stays on the device."""
        arrays = self._denoiser.laid_out(conditioning)
        with at_work(self._denoiser.device):
            if guidance_scale is not None:
                # One number more is another program, which rescales.
                more = [] if self._rescale is None else [self._rescale]
                self._guidance = np.array([guidance_scale, *more], np.float32)
                self._step = self._denoiser.step_program(
                    self._tiled, guidance_scale > 1, self._rule
                )
            if kept is not None:
                self._kept = self._placed(kept)
            prepare = self._denoiser.prepare_program()
            self._prepared = prepare(self._batch, self._placed_weights(), arrays)

    def step(self, timestep: float, row: FloatArray, noise: FloatArray | None) -> None:
        """Put one step into the device's queue, after the step before it has ended.

        One step in the queue keeps the device busy while the next noise is drawn. With only one,
        progress bars and cancelling agree with the steps that have been computed.
        """
        with at_work(self._denoiser.device):
            jax.block_until_ready(self._sample)
            self._sample, self._remembered = self._step(
                self._batch,
                self._step_weights(),
                self._sample,
                self._remembered,
                self._no_noise if noise is None else noise,
                np.float32(timestep),
                row,
                self._guidance,
                self._prepared,
                self._kept,
            )

    def read(self) -> FloatArray:
        """Return the sample, batch first and channels second."""
        return self._read(self._sample)

    def predicted(self) -> FloatArray:
        """Return the clean sample of the last step, laid out in the same way."""
        return clean_sample(self._remembered, (), self._read)

    def _read(self, array: jax.Array) -> FloatArray:
        with at_work(self._denoiser.device):
            found = self._batch.read(array)
        return np.array(np.moveaxis(found, -1, 1), order="C")

    def output(self, timestep: float) -> FloatArray:
        """Return what the network gives for the sample; no step is taken."""
        program = self._denoiser.output_program(self._tiled)
        with at_work(self._denoiser.device):
            weights, time = self._step_weights(), np.float32(timestep)
            return self._read(program(self._batch, weights, self._sample, time, self._prepared))

    def write(self, sample: FloatArray) -> None:
        """Replace the sample."""
        with at_work(self._denoiser.device):
            self._sample = self._put(sample)

    def leave(self) -> None:
        """See `kandinsky_jax.components.turns.Holder.leave`."""
        self._weights = None

    def _placed_weights(self) -> Any:
        if self._weights is None:
            self._weights = self._denoiser.placed_weights(self)
        return self._weights

    def _step_weights(self) -> Any:
        return self._placed_weights() if self._tiled is None else self._tiled[1]

    def _placed(self, kept: Kept) -> dict[str, jax.Array]:
        return {name: self._put(getattr(kept, name)) for name in ("original", "noise", "mask")}

    def _nothing_yet(self, shape: tuple[int, ...], rule: StepRule) -> Any:
        """Return what the first step remembers: zeros, in the form that steps return."""
        zeros = [self._put(np.zeros(shape, np.float32)) for _ in range(1 + rule.registers)]
        return tuple(zeros) if rule.registers else zeros[0]

    def _put(self, array: FloatArray) -> jax.Array:
        """Lay an array out channels-last and place it."""
        last = np.ascontiguousarray(np.moveaxis(array, 1, -1), np.float32)
        placed: jax.Array = self._batch.put(last)
        return placed
