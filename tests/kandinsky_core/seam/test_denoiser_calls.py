"""A UNet and a prior are called by diffusers' arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.seam.denoiser_calls import DenoiserCalls

PLAIN = {"in_channels": 4, "latent_channels": 4, "image_latents": 0, "size_multiple": 2}
OF_SECOND = PLAIN | {"conditioning_names": ("image_embeds",)}
PRIOR = SimpleNamespace(embedding_dim=8)
UNET = SimpleNamespace(**OF_SECOND)
WITH_TEXT = SimpleNamespace(
    **PLAIN,
    conditioning_names=("image_embeds", "text_embeds", "text_encoder_hidden_states", "hint"),
)
INPAINT = SimpleNamespace(**OF_SECOND | {"in_channels": 9, "image_latents": 5})
THIRD = SimpleNamespace(**PLAIN)
STATES = np.zeros((2, 3, 8), np.float32)
SAMPLE = np.zeros((2, 4, 4, 4), np.float32)


class Recorder(DenoiserCalls):
    """Keeps what it is asked to compute."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.seen: tuple[Any, ...] = ()

    def output(
        self, sample: FloatArray, timestep: float, conditioning: Mapping[str, Array]
    ) -> FloatArray:
        self.seen = (sample.shape, timestep, {n: a.shape for n, a in conditioning.items()})
        return sample + 1


def test_arguments_reach_the_network_by_the_seams_names() -> None:
    prior, third, unet = Recorder(PRIOR), Recorder(THIRD), Recorder(UNET)
    out = prior(np.zeros((2, 8)), 3, np.zeros((2, 8)), encoder_hidden_states=STATES)
    assert (
        prior(np.zeros((2, 8)), 3, np.zeros((2, 8)), STATES).predicted_image_embedding == 1
    ).all()
    assert prior.seen[2] == {
        "prompt_embeds": (2, 8),
        "text_encoder_hidden_states": (2, 3, 8),
        "text_mask": (2, 3),
    }
    assert out.sample is out[0] is out["sample"] is out["predicted_image_embedding"]
    third(SAMPLE, np.array([7, 7]), STATES, encoder_attention_mask=np.array([[1, 1, 0]] * 2))
    assert third.seen[1:] == (
        7.0,
        {"text_encoder_hidden_states": (2, 3, 8), "attention_mask": (2, 3)},
    )
    (made,) = unet(
        SAMPLE, 1, None, added_cond_kwargs={"image_embeds": STATES[:, 0]}, return_dict=False
    )
    assert made.shape == SAMPLE.shape


def test_the_channels_of_inpainting_are_set_apart() -> None:
    unet = Recorder(INPAINT)
    unet(np.zeros((2, 9, 4, 4)), 1, added_cond_kwargs={"image_embeds": STATES[:, 0]})
    assert unet.seen[0] == (2, 4, 4, 4)
    assert unet.seen[2]["image_latents"] == (2, 5, 4, 4)


@pytest.mark.parametrize(
    ("config", "positional", "options", "match"),
    [
        (UNET, (SAMPLE, 1), {}, "reads image_embeds, too"),
        (WITH_TEXT, (SAMPLE, 1), {}, "image_embeds, text_embeds, text_encoder_hidden_states, hint"),
        (UNET, (SAMPLE, 1), {"colour": 1}, "does not take colour: give encoder_hidden_states"),
        (UNET, (SAMPLE, 1), {"added_cond_kwargs": {"x": 1}}, "does not take x"),
        (UNET, (SAMPLE, 1, None, None, None), {}, "so many arguments"),
        (THIRD, (SAMPLE, [1, 2], STATES), {}, "one for all rows"),
        (THIRD, (SAMPLE, "x", STATES), {}, "timestep is"),
        (THIRD, ("x", 1, STATES), {}, "sample is"),
        (THIRD, (SAMPLE[:, :3], 1, STATES), {}, r"give \[B, 4, h, w\]"),
        (THIRD, (SAMPLE[..., :3], 1, STATES), {}, "multiples of 2"),
        (THIRD, (SAMPLE, 1, STATES[:1]), {}, "beside a sample of 2 rows"),
        (PRIOR, (STATES, 1, STATES[:, 0], STATES), {}, r"give \[B, 8\]"),
    ],
)
def test_other_arguments_are_refused(
    config: Any, positional: tuple[Any, ...], options: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        Recorder(config)(*positional, **options)
