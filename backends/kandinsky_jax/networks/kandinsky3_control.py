"""The ControlNet of Kandinsky 3: a branch that reads a hint and adds to the UNet's skips."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import Kandinsky3ControlNetConfig
from kandinsky_core.seam.control import CONTROL_SCALE, CONTROL_WINDOW
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import (
    Conv,
    Layers,
    TimestepEmbedding,
    silu,
    timestep_sinusoid_of_sines,
)
from kandinsky_jax.networks.kandinsky3_blocks import DownBlock
from kandinsky_jax.networks.kandinsky3_hint import HintStem
from kandinsky_jax.networks.kandinsky3_unet import TextPooling
from kandinsky_jax.networks.prepared import BranchConditioning, ControlledConditioning

__all__ = ["ControlledUNet", "Kandinsky3ControlNetModel"]


class Kandinsky3ControlNetModel(nnx.Module):
    """The branch: the UNet's levels on the way down, but for the last, with weights of its own.

    Behind each level stands a convolution of side 1. What it gives is added to the skip of the
    UNet's level, and is also what the branch's next level reads.

    Source: ai-forever/kandinsky3-diffusers, class UNetKandi3Controlnet.
    """

    def __init__(
        self,
        config: Kandinsky3ControlNetConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        first, widths = config.init_channels, config.branch_channels
        self.dtype = jnp.dtype(dtype)
        self.channels = config.in_channels
        self.time_embedding = TimestepEmbedding(first, config.time_embedding_dim, layers=layers)
        self.add_time_condition = TextPooling(config, layers=layers)
        self.conv_in = Conv(config.in_channels, first, kernel=3, padding=1, layers=layers)
        self.controlnet_cond_embedding = HintStem(config, layers=layers)
        self.down_blocks = nnx.List(
            [
                DownBlock(n_in, n_out, config, layers=layers, attention=level > 0, downsample=True)
                for level, (n_in, n_out) in enumerate(zip((first, *widths), widths, strict=False))
            ]
        )
        self.controlnet_down_blocks = nnx.List(
            [Conv(width, width, kernel=1, layers=layers) for width in widths]
        )

    def prepare(
        self, context: Array, bias: Array, present: Array | None, hint: Array
    ) -> BranchConditioning:
        """Compute all that depends on the conditioning alone.

        Args:
            context: The text as the UNet projects it, [B,L,D].
            bias: The bias of attentions to it, [B,1,1,L].
            present: See `Kandinsky3UNet.prepare`.
            hint: [B,8h,8w,hint_channels].
        """
        return BranchConditioning(
            embedding=self.add_time_condition(context, bias, present),
            bias=bias,
            hint=self.controlnet_cond_embedding(hint),
            down=tuple(block.prepare(context) for block in self.down_blocks),
        )

    def __call__(self, sample: Array, timestep: Array, prepared: BranchConditioning) -> list[Array]:
        """Return what is added to the UNet's skips, the highest level first.

        Args:
            sample: Noisy latents, [B,h,w,C].
            timestep: [B], on the scale of the training steps.
            prepared: The result of `prepare` for the same batch.

        Returns:
            For each level [B,h',w',C']; the levels halve h and w one after the other.
        """
        width = self.conv_in.kernel.shape[-1]
        sinusoid = timestep_sinusoid_of_sines(timestep, width).astype(self.dtype)
        time = silu(self.time_embedding(sinusoid) + prepared.embedding)
        x = self.conv_in(sample) + prepared.hint
        residuals = []
        for down, last, tokens in zip(
            self.down_blocks, self.controlnet_down_blocks, prepared.down, strict=True
        ):
            x = last(down(x, time, tokens, prepared.bias))
            residuals.append(x)
        return residuals


class ControlledUNet:
    """A UNet with its branch, which are called as one network.

    Args:
        unet: A `Kandinsky3UNet`.
        branch: A `Kandinsky3ControlNetModel`.
    """

    def __init__(self, unet: Any, branch: Any) -> None:
        self._unet = unet
        self._branch = branch

    def prepare(self, *, hint: Array, **conditioning: Array) -> ControlledConditioning:
        """Compute all that depends on the conditioning alone; see `kandinsky_core.seam.control`."""
        levels = range(len(self._branch.down_blocks))
        scales = tuple(conditioning.pop(CONTROL_SCALE.format(level)) for level in levels)
        window = conditioning.pop(CONTROL_WINDOW)
        of_text = {name: conditioning.get(name) for name in _OF_TEXT}
        context, bias = self._unet.read_text(**of_text)
        return ControlledConditioning(
            unet=self._unet.prepare(**conditioning),
            branch=self._branch.prepare(context, bias, of_text["present"], hint),
            scales=scales,
            window=window,
        )

    def __call__(self, sample: Array, timestep: Array, prepared: ControlledConditioning) -> Array:
        """Predict the noise in `sample`, as `Kandinsky3UNet` does."""
        first, last = prepared.window[:, 0], prepared.window[:, 1]
        within = ((timestep <= first) & (timestep >= last))[:, None, None, None]
        found = self._branch(sample, timestep, prepared.branch)
        residuals = [
            residual * jnp.where(within, scale, 0).astype(residual.dtype)
            for residual, scale in zip(found, prepared.scales, strict=True)
        ]
        output: Array = self._unet(sample, timestep, prepared.unet, residuals)
        return output


_OF_TEXT = (
    "text_encoder_hidden_states",
    "attention_mask",
    "projected_mask",
    "null_embedding",
    "present",
)
