"""Kandinsky 2.1 on the backend of NumPy in `tests.support.fakes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from kandinsky_core import (
    DDIMScheduler,
    KandinskyCombinedPipeline,
    KandinskyImg2ImgCombinedPipeline,
    KandinskyImg2ImgPipeline,
    KandinskyInpaintCombinedPipeline,
    KandinskyInpaintPipeline,
    KandinskyPipeline,
)
from kandinsky_core.arrays import Array, FloatArray
from tests.support.fakes import (
    LENGTH,
    WIDTH,
    FakeNetwork,
    FakeTokenizer,
    decoder_components,
    prior_components,
)

__all__ = ["COMBINED", "DECODERS", "STATES", "combined", "decoder", "text_components"]

STATES = 3  # width of the text encoder's states

DECODERS: dict[str, Any] = {
    "decoder": KandinskyPipeline,
    "img2img": KandinskyImg2ImgPipeline,
    "inpaint": KandinskyInpaintPipeline,
}
COMBINED: dict[str, Any] = {
    "decoder": KandinskyCombinedPipeline,
    "img2img": KandinskyImg2ImgCombinedPipeline,
    "inpaint": KandinskyInpaintCombinedPipeline,
}


class FakeMultilingualTextEncoder(FakeNetwork):
    """Embeds a text by the sum of its ids; its states are the ids, and -1 on padding."""

    def encode(self, input_ids: Array, attention_mask: Array) -> tuple[FloatArray, FloatArray]:
        assert input_ids.shape == attention_mask.shape == (1, LENGTH)
        embeds = np.full((1, WIDTH), input_ids.sum(), np.float32)
        states = np.where(attention_mask, input_ids, -1).astype(np.float32)
        return embeds, np.repeat(states[..., None], STATES, axis=2)


def text_components(task: str) -> dict[str, Any]:
    """Components of a decoder, with the published scheduler."""
    unet = {"addition_embed_type": "text_image", "cross_attention_dim": WIDTH}
    channels = 9 if task == "inpaint" else 4
    components = decoder_components(**unet, encoder_hid_dim=STATES, in_channels=channels)
    return components | {
        "text_encoder": FakeMultilingualTextEncoder(),
        "tokenizer": FakeTokenizer(),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            steps_offset=1,
            clip_sample=False,
            set_alpha_to_one=False,
        ),
    }


def decoder(task: str) -> Any:
    """One of `DECODERS`, without progress bars."""
    return _quiet(DECODERS[task](**text_components(task)))


def combined(task: str) -> Any:
    """One of `COMBINED`, without progress bars."""
    prior = {f"prior_{name}": value for name, value in prior_components().items()}
    return _quiet(COMBINED[task](**text_components(task), **prior))


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
