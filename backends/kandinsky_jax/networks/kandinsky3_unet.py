"""The UNet of Kandinsky 3.0 and 3.1: text to image, Flash, inpainting."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import Kandinsky3UNetConfig
from kandinsky_core.errors import InvalidInputError
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import (
    Conv,
    GroupNorm,
    LayerNorm,
    Layers,
    Linear,
    TimestepEmbedding,
    silu,
    timestep_sinusoid_of_sines,
)
from kandinsky_jax.networks.kandinsky3_blocks import Attention, DownBlock, UpBlock
from kandinsky_jax.networks.kandinsky3_hint import HintStem
from kandinsky_jax.networks.kandinsky3_image_prompt import ImageProjection, TextAndImage
from kandinsky_jax.networks.prepared import Kandinsky3Conditioning
from kandinsky_jax.networks.unet_blocks import NORM_EPSILON

__all__ = ["Kandinsky3UNet", "TextPooling"]

LOWEST = float(np.finfo(np.float32).min)
# Levels without attention: the first on the way down, and all from the fourth on the way up. In a
# model of four levels, as the published one is, both are the same level.
_WITHOUT_ATTENTION_DOWN, _WITHOUT_ATTENTION_UP = 0, 3


class TextProjection(nnx.Module):
    """Projects and normalises text states: [B,L,encoder_hid_dim] -> [B,L,cross_attention_dim]."""

    def __init__(self, config: Kandinsky3UNetConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.projection_linear = Linear(config.encoder_hid_dim, width, bias=False, layers=layers)
        self.projection_norm = LayerNorm(width, layers=layers)
        if config.num_image_tokens:
            self.image_projection = ImageProjection(config, layers=layers)

    def __call__(self, states: Array) -> Array:
        return self.projection_norm(self.projection_linear(states))


class TextPooling(nnx.Module):
    """Pools a text: the mean of its tokens attends to them, [B,L,D] -> [B,T]."""

    def __init__(self, config: Kandinsky3UNetConfig, *, layers: Layers) -> None:
        width = config.cross_attention_dim
        self.attention = Attention(
            config.time_embedding_dim, width, width, config.attention_head_dim, layers=layers
        )

    def __call__(self, context: Array, bias: Array, present: Array | None = None) -> Array:
        there = None if present is None else present.astype(bool)[..., None]
        query = context.mean(axis=1, keepdims=True, where=there)  # [B,1,D]
        return self.attention(query, self.attention.prepare(context), bias)[:, 0]


class Kandinsky3UNet(nnx.Module):
    """The UNet of Kandinsky 3: diffusers' class of this name, and its original for inpainting.

    The original is in ai-forever/Kandinsky-3. diffusers has no form whose input and output differ
    in channels, and it projects the text in every step.

    With `tiled` the convolutions use `winograd`, except on the lowest level, which has few pixels
    and many weights.
    """

    def __init__(
        self,
        config: Kandinsky3UNetConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
        tiled: bool = False,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        blocks = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend, tiled=tiled)
        first = config.init_channels
        self.dtype = jnp.dtype(dtype)
        self.size_multiple = config.size_multiple
        self.time_embedding = TimestepEmbedding(first, config.time_embedding_dim, layers=layers)
        self.add_time_condition = TextPooling(config, layers=layers)
        self.conv_in = Conv(config.in_channels, first, kernel=3, padding=1, layers=layers)
        self.encoder_hid_proj = TextProjection(config, layers=layers)
        if config.hint_channels:
            self.controlnet_cond_embedding = HintStem(config, layers=layers)
        self.down_blocks = _down_blocks(config, layers=blocks)
        self.up_blocks = _up_blocks(config, layers=blocks)
        self.conv_norm_out = GroupNorm(
            first, groups=config.groups, epsilon=NORM_EPSILON, layers=layers
        )
        self.conv_out = Conv(first, config.out_channels, kernel=3, padding=1, layers=layers)

    def prepare(
        self,
        text_encoder_hidden_states: Array,
        attention_mask: Array,
        image_latents: Array | None = None,
        projected_mask: Array | None = None,
        null_embedding: Array | None = None,
        present: Array | None = None,
        hint: Array | None = None,
        image_embeds: Array | None = None,
        image_weight: Array | None = None,
    ) -> Kandinsky3Conditioning:
        """Compute all that depends on the conditioning alone.

        Without `projected_mask` and `null_embedding` this follows diffusers: padding, whose states
        the pipeline sets to zero, is projected like all other tokens. With them it follows the
        original code: see `kandinsky_core.seam.networks.Denoiser.begin`.

        Args:
            text_encoder_hidden_states: [B,L,encoder_hid_dim].
            attention_mask: [B,L], true on tokens that attention sees. In a row without any, all
                tokens are seen alike.
            image_latents: for inpainting, the mask and masked latents, [B,h,w,c].
            projected_mask: [B,L], true on tokens whose projection is kept; the projection of the
                others is set to zero.
            null_embedding: [B,cross_attention_dim], then added to the first token.
            present: [B,L], false on positions that only fill the text up to the length that a
                program is compiled for; None says that all are tokens. Filling has no effect on
                the result.
            hint: for a UNet that reads a hint itself, [B,8h,8w,hint_channels].
            image_embeds: for an IP-Adapter, [B,image_embed_dim]; without it the text alone counts.
            image_weight: how much the picture counts, [B]; it comes with `image_embeds`.

        Returns:
            The `prepared` of `__call__`; with it no step looks at the text again.
        """
        context, bias = self.read_text(
            text_encoder_hidden_states, attention_mask, projected_mask, null_embedding, present
        )
        attended: Array | TextAndImage = context
        if image_embeds is not None and image_weight is not None:
            image = self.encoder_hid_proj.image_projection(image_embeds)
            attended = TextAndImage(context, image, image_weight)
        return Kandinsky3Conditioning(
            embedding=self.add_time_condition(context, bias, present),
            bias=bias,
            channels=image_latents,
            down=tuple(block.prepare(attended) for block in self.down_blocks),
            up=tuple(block.prepare(attended) for block in self.up_blocks),
            hint=None if hint is None else self.controlnet_cond_embedding(hint),
        )

    def read_text(
        self,
        text_encoder_hidden_states: Array,
        attention_mask: Array,
        projected_mask: Array | None = None,
        null_embedding: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Array, Array]:
        """Project the text: what attentions read, [B,L,D], and their bias, [B,1,1,L].

        See `prepare` for the arguments.
        """
        context = self.encoder_hid_proj(text_encoder_hidden_states)
        if projected_mask is not None:
            context = jnp.where(projected_mask.astype(bool)[..., None], context, 0)
        if null_embedding is not None:
            context = context.at[:, 0].add(null_embedding.astype(context.dtype))
        bias = jnp.where(attention_mask.astype(bool), 0.0, LOWEST)
        if present is not None:  # filling is never seen, not even in a row that sees nothing else
            bias = jnp.where(present.astype(bool), bias, -jnp.inf)
        return context, bias[:, None, None]

    def __call__(
        self,
        sample: Array,
        timestep: Array,
        prepared: Kandinsky3Conditioning,
        residuals: Sequence[Array] = (),
    ) -> Array:
        """Predict the noise in `sample`.

        Args:
            sample: noisy latents, [B,h,w,C], channels-last.
            timestep: [B], on the scale of the training steps.
            prepared: the result of `prepare` for the same batch.
            residuals: what a ControlNet adds to the skips, the highest level first.

        Returns:
            [B,h,w,out_channels].

        Raises:
            InvalidInputError: h or w is no multiple of `size_multiple` (8 for the published
                models): the skips of odd levels would not fit. The reference has the same limit.
        """
        height, width = sample.shape[1:3]
        if height % self.size_multiple or width % self.size_multiple:
            raise InvalidInputError(
                f"latents are {height} x {width}; the UNet needs multiples of {self.size_multiple}"
            )
        sinusoid = timestep_sinusoid_of_sines(timestep, self.conv_in.kernel.shape[-1]).astype(
            self.dtype
        )
        # Each norm would start with SiLU on the embedding, so SiLU is applied once here.
        time = silu(self.time_embedding(sinusoid) + prepared.embedding)
        if prepared.channels is not None:
            sample = jnp.concatenate([sample, prepared.channels.astype(sample.dtype)], axis=-1)
        x = self.conv_in(sample)
        if prepared.hint is not None:
            x = x + prepared.hint
        skips = []
        for down, tokens in zip(self.down_blocks, prepared.down, strict=True):
            x = down(x, time, tokens, prepared.bias)
            skips.append(x)
        skips.pop()  # the lowest level hands its output straight on
        if residuals:
            skips = [skip + added for skip, added in zip(skips, residuals, strict=True)]
        for level, (up, tokens) in enumerate(zip(self.up_blocks, prepared.up, strict=True)):
            if level:
                x = jnp.concatenate([x, skips.pop()], axis=-1)
            x = up(x, time, tokens, prepared.bias)
        return self.conv_out(silu(self.conv_norm_out(x)))


def _down_blocks(config: Kandinsky3UNetConfig, *, layers: Layers) -> nnx.List[DownBlock]:
    widths = config.block_out_channels
    inputs = (config.init_channels, *widths[:-1])
    return nnx.List(
        [
            DownBlock(
                n_in,
                n_out,
                config,
                layers=layers if level < len(widths) - 1 else layers.untiled(),
                attention=level != _WITHOUT_ATTENTION_DOWN,
                downsample=level != len(widths) - 1,
            )
            for level, (n_in, n_out) in enumerate(zip(inputs, widths, strict=True))
        ]
    )


def _up_blocks(config: Kandinsky3UNetConfig, *, layers: Layers) -> nnx.List[UpBlock]:
    widths = config.block_out_channels[::-1]
    outputs = (*widths[1:], config.init_channels)
    return nnx.List(
        [
            UpBlock(
                n_in,
                n_in if level else 0,
                n_out,
                config,
                layers=layers if level else layers.untiled(),
                attention=level < _WITHOUT_ATTENTION_UP,
                upsample=level != 0,
            )
            for level, (n_in, n_out) in enumerate(zip(widths, outputs, strict=True))
        ]
    )
