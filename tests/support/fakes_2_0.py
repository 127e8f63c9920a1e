"""Kandinsky 2.0 on the backend of NumPy in `tests.support.fakes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from kandinsky_core import (
    Kandinsky20Img2ImgPipeline,
    Kandinsky20InpaintPipeline,
    Kandinsky20Pipeline,
    Kandinsky20Scheduler,
)
from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.configs import Kandinsky20UNetConfig
from tests.support.fakes import WIDTH, FakeAutoencoder, FakeDenoiser, FakeNetwork, FakeTokenizer
from tests.support.fakes_2_1 import STATES, FakeMultilingualTextEncoder

__all__ = ["SCALE", "SECOND", "TASKS", "pipeline"]

SECOND = 8  # width of the second encoder's states
SCALE = 0.5

TASKS: dict[str, Any] = {
    "decoder": Kandinsky20Pipeline,
    "img2img": Kandinsky20Img2ImgPipeline,
    "inpaint": Kandinsky20InpaintPipeline,
}


class FakeSecondTextEncoder(FakeNetwork):
    """Its states are twice the ids, on padding too."""

    def encode(self, input_ids: Array, attention_mask: Array) -> FloatArray:
        states = 2 * input_ids[..., None].astype(np.float32)
        return np.repeat(states, SECOND, axis=2)


class FakeKLAutoencoder(FakeAutoencoder):
    """The mean is every fourth pixel; the deviation is that of a log variance of `spread`."""

    spread = -1000.0

    def _encode(self, pixels: FloatArray) -> FloatArray:
        mean = super()._encode(pixels)
        return np.concatenate([mean, np.full_like(mean, self.spread)], axis=1)


def pipeline(task: str = "decoder", **sampler: Any) -> Any:
    """One of `TASKS` for 16 pixels (4 latent cells of 4), without progress bars."""
    unet = FakeDenoiser()
    unet.config = Kandinsky20UNetConfig(
        in_channels=9 if task == "inpaint" else 4,
        out_channels=8,
        block_out_channels=(32,),
        down_block_types=("SimpleCrossAttnDownBlock2D",),
        up_block_types=("SimpleCrossAttnUpBlock2D",),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        resnet_time_scale_shift="scale_shift",
        layers_per_block=1,
        attention_head_dim=16,
        cross_attention_dim=4,
        encoder_hid_dim=STATES,
        encoder_hid_dim_2=SECOND,
        text_embed_dim=WIDTH,
        sample_size=4,
    )
    made = TASKS[task](
        text_encoder=FakeMultilingualTextEncoder(),
        tokenizer=FakeTokenizer(),
        text_encoder_2=FakeSecondTextEncoder(),
        tokenizer_2=FakeTokenizer(),
        unet=unet,
        scheduler=Kandinsky20Scheduler(**sampler),
        vae=FakeKLAutoencoder(
            block_out_channels=(1, 1, 1), latent_channels=4, scaling_factor=SCALE
        ),
    )
    made.set_progress_bar_config(disable=True)
    return made
