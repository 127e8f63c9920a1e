"""Arguments of wrong types, lists that hold themselves among them, give typed errors at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from tests.kandinsky_core.pipelines.test_kandinsky3 import pipeline as kandinsky_3
from tests.support.fakes import (
    WIDTH,
    combined_pipeline,
    decoder_pipeline,
    emb2emb_pipeline,
    image_pipeline,
)

ITSELF: list[Any] = []
ITSELF.append(ITSELF)
MAPPED: dict[str, Any] = {}
MAPPED["itself"] = MAPPED
WRONG: dict[str, Any] = {
    "a list that holds itself": ITSELF,
    "a tuple of such": (ITSELF,),
    "a dict that holds itself": MAPPED,
    "an empty list in a list": [[]],
    "unequal lists": [[1], [1, 2]],
    "None in a list": [None],
    "bytes": b"a",
    "a class": object,
    "a set": {"a"},
    "texts as an array": np.array(["a"]),
    "NaN": float("nan"),
}
EMBEDS: tuple[Any, Any] = (np.ones((1, WIDTH)), np.zeros((1, WIDTH)))
GREY = np.full((16, 16, 3), 128, np.uint8)

CALLS: dict[str, Any] = {
    "prompt": lambda value: combined_pipeline()(value),
    "negative_prompt": lambda value: combined_pipeline()("a", value),
    "image_embeds": lambda value: decoder_pipeline()(value, EMBEDS[1]),
    "negative_image_embeds": lambda value: decoder_pipeline()(EMBEDS[0], value),
    "latents": lambda value: decoder_pipeline()(*EMBEDS, latents=value),
    "seed": lambda value: decoder_pipeline()(*EMBEDS, seed=value),
    "generator": lambda value: decoder_pipeline()(*EMBEDS, generator=value),
    "height": lambda value: decoder_pipeline()(*EMBEDS, height=value),
    "num_inference_steps": lambda value: decoder_pipeline()(*EMBEDS, num_inference_steps=value),
    "guidance_scale": lambda value: decoder_pipeline()(*EMBEDS, guidance_scale=value),
    "output_type": lambda value: decoder_pipeline()(*EMBEDS, output_type=value),
    "image": lambda value: image_pipeline("img2img")(EMBEDS[0], value, EMBEDS[1]),
    "strength": lambda value: image_pipeline("img2img")(EMBEDS[0], GREY, EMBEDS[1], strength=value),
    "mask_image": lambda value: image_pipeline("inpaint")(EMBEDS[0], GREY, value, EMBEDS[1]),
    "hint": lambda value: image_pipeline("controlnet")(*EMBEDS, value),
    "image of the prior": lambda value: emb2emb_pipeline()("a", value),
    "images_and_prompts": lambda value: combined_pipeline().prior_pipe.interpolate(value, [1]),
    "weights": lambda value: combined_pipeline().prior_pipe.interpolate(["a"], value),
    "prompt of 3": lambda value: kandinsky_3()(value),
    "prompt_embeds": lambda value: kandinsky_3()(
        prompt_embeds=value, attention_mask=np.ones((1, 1))
    ),
}


@pytest.mark.parametrize("argument", CALLS)
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_argument_is_named(argument: str, kind: str) -> None:
    with pytest.raises(InvalidInputError, match=argument.split(" ", maxsplit=1)[0]):
        CALLS[argument](WRONG[kind])
