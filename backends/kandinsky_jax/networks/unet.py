"""The UNets of Kandinsky 2.0, 2.1 and 2.2: text to image, inpainting, ControlNet."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from kandinsky_core.configs import UNet2DConditionConfig
from kandinsky_core.errors import InvalidInputError
from kandinsky_jax.layers.attention import AttentionFunction, attend
from kandinsky_jax.layers.layers import (
    Conv,
    GroupNorm,
    Layers,
    TimestepEmbedding,
    silu,
    timestep_sinusoid,
)
from kandinsky_jax.networks.prepared import UNetConditioning
from kandinsky_jax.networks.unet_blocks import NORM_EPSILON, DownBlock, MiddleBlock, UpBlock
from kandinsky_jax.networks.unet_conditioning import EMBEDDING_HEADS, TOKEN_HEADS

__all__ = ["Kandinsky20UNet", "UNet2DConditionModel"]


class UNet2DConditionModel(nnx.Module):
    """The UNet of Kandinsky 2.x: diffusers' class of this name, with the 2.x block types.

    With `tiled` the convolutions use `winograd`, except on the lowest level: that has more than
    half of the weights and few pixels.
    """

    def __init__(
        self,
        config: UNet2DConditionConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
        attend: AttentionFunction = attend,
        tiled: bool = False,
    ) -> None:
        layers = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend)
        blocks = Layers(dtype=dtype, param_dtype=param_dtype, attend=attend, tiled=tiled)
        first, last = config.block_out_channels[0], config.block_out_channels[-1]
        self.dtype = jnp.dtype(dtype)
        self.size_multiple = config.size_multiple
        self.conv_in = Conv(config.in_channels, first, kernel=3, padding=1, layers=layers)
        self.time_embedding = TimestepEmbedding(first, config.time_embed_dim, layers=layers)
        self.encoder_hid_proj: Any = TOKEN_HEADS[config.encoder_hid_dim_type](config, layers=layers)
        self.add_embedding: Any = EMBEDDING_HEADS[config.addition_embed_type](config, layers=layers)
        self.down_blocks = _down_blocks(config, layers=blocks)
        self.mid_block = MiddleBlock(last, config, layers=blocks.untiled())
        self.up_blocks = _up_blocks(config, layers=blocks)
        self.conv_norm_out = GroupNorm(
            first, groups=config.norm_num_groups, epsilon=NORM_EPSILON, layers=layers
        )
        self.conv_out = Conv(first, config.out_channels, kernel=3, padding=1, layers=layers)

    def prepare(
        self,
        image_embeds: Array,
        text_embeds: Array | None = None,
        text_encoder_hidden_states: Array | None = None,
        image_latents: Array | None = None,
        hint: Array | None = None,
    ) -> UNetConditioning:
        """Compute all that depends on the conditioning alone.

        Args:
            image_embeds: CLIP image embeddings, [B,image_embed_dim].
            text_embeds: for Kandinsky 2.1, [B,cross_attention_dim].
            text_encoder_hidden_states: for Kandinsky 2.1, [B,L,encoder_hid_dim].
            image_latents: for inpainting, masked latents and the mask, [B,h,w,c].
            hint: for a ControlNet, [B,8h,8w,3] in [0, 1].

        Returns:
            The `prepared` of `__call__`; with it no step projects the image tokens again.
        """
        return self._conditioned(
            self.encoder_hid_proj(image_embeds, text_encoder_hidden_states),
            self.add_embedding(image_embeds, text_embeds),
            image_latents if hint is None else self.add_embedding.hint_channels(hint),
        )

    def _conditioned(
        self, tokens: Array, embedding: Array, channels: Array | None
    ) -> UNetConditioning:
        """Make each attention's keys and values of the tokens [B,T,cross_attention_dim]."""
        return UNetConditioning(
            embedding=embedding,
            channels=channels,
            down=tuple(block.prepare(tokens) for block in self.down_blocks),
            middle=self.mid_block.prepare(tokens),
            up=tuple(block.prepare(tokens) for block in self.up_blocks),
        )

    def __call__(self, sample: Array, timestep: Array, prepared: UNetConditioning) -> Array:
        """Predict the noise in `sample` and its variance.

        Args:
            sample: noisy latents, [B,h,w,C], channels-last.
            timestep: [B], on the scale of the training steps.
            prepared: the result of `prepare` for the same batch.

        Returns:
            [B,h,w,out_channels]; the first half of the channels is the noise.

        Raises:
            InvalidInputError: h or w is no multiple of `size_multiple` (8 for the published
                models): the skips of odd levels would not fit. The reference has the same limit.
        """
        height, width = sample.shape[1:3]
        if height % self.size_multiple or width % self.size_multiple:
            raise InvalidInputError(
                f"latents are {height} x {width}; the UNet needs multiples of {self.size_multiple}"
            )
        sinusoid = timestep_sinusoid(timestep, self.conv_in.kernel.shape[-1]).astype(self.dtype)
        # Each residual block would start with SiLU on the embedding, so SiLU is applied once here.
        time = silu(self.time_embedding(sinusoid) + prepared.embedding)
        if prepared.channels is not None:
            sample = jnp.concatenate([sample, prepared.channels.astype(sample.dtype)], axis=-1)
        x = self.conv_in(sample)
        stack = [x]
        for down, tokens in zip(self.down_blocks, prepared.down, strict=True):
            x, skips = down(x, time, tokens)
            stack.extend(skips)
        x = self.mid_block(x, time, prepared.middle)
        for up, tokens in zip(self.up_blocks, prepared.up, strict=True):
            x = up(x, time, tokens, tuple(stack.pop() for _ in up.resnets))
        return self.conv_out(silu(self.conv_norm_out(x)))


def _down_blocks(config: UNet2DConditionConfig, *, layers: Layers) -> nnx.List[DownBlock]:
    widths = config.block_out_channels
    inputs = (widths[0], *widths[:-1])
    last = len(widths) - 1
    return nnx.List(
        [
            DownBlock(
                n_in,
                n_out,
                config,
                layers=layers.untiled() if level == last else layers,
                attention=kind == "SimpleCrossAttnDownBlock2D",
                downsample=level != last,
            )
            for level, (kind, n_in, n_out) in enumerate(
                zip(config.down_block_types, inputs, widths, strict=True)
            )
        ]
    )


def _up_blocks(config: UNet2DConditionConfig, *, layers: Layers) -> nnx.List[UpBlock]:
    widths = config.block_out_channels[::-1]
    inputs = (widths[0], *widths[:-1])
    below = (*widths[1:], widths[-1])  # width of the level that made the last skip
    last = len(widths) - 1
    return nnx.List(
        [
            UpBlock(
                n_in,
                n_out,
                [n_out] * config.layers_per_block + [last_skip],
                config,
                layers=layers,
                attention=kind == "SimpleCrossAttnUpBlock2D",
                upsample=level != last,
                lowest=level == 0,
            )
            for level, (kind, n_in, n_out, last_skip) in enumerate(
                zip(config.up_block_types, inputs, widths, below, strict=True)
            )
        ]
    )


class Kandinsky20UNet(UNet2DConditionModel):
    """The UNet of Kandinsky 2.0, which reads two encodings of the text and no image embedding."""

    def prepare(  # type: ignore[override]
        self,
        text_embeds: Array,
        text_encoder_hidden_states: Array,
        text_encoder_hidden_states_2: Array,
        image_latents: Array | None = None,
    ) -> UNetConditioning:
        """Compute all that depends on the conditioning alone.

        Padding counts as all other tokens do.

        Args:
            text_embeds: The first encoder's text embeddings, [B,text_embed_dim].
            text_encoder_hidden_states: Its states, [B,L,encoder_hid_dim].
            text_encoder_hidden_states_2: The second encoder's states, [B,L,encoder_hid_dim_2].
            image_latents: for inpainting, masked latents and the mask, [B,h,w,c].

        Returns:
            The `prepared` of `__call__`.
        """
        states, others = text_encoder_hidden_states, text_encoder_hidden_states_2
        return self._conditioned(
            self.encoder_hid_proj(states, others),
            self.add_embedding(text_embeds, others),
            image_latents,
        )
