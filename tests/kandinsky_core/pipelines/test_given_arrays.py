"""Arrays that a caller gives in place of texts and pictures: what is no number is refused early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import KandinskyPipeline
from kandinsky_core.errors import InvalidInputError
from tests.kandinsky_core.pipelines.test_ip_adapter import EMBEDDING, adapted
from tests.kandinsky_core.pipelines.test_kandinsky3 import SIZE, STATES, pipeline
from tests.kandinsky_core.pipelines.test_kandinsky3_controlnet import controlled
from tests.support import fakes_2_0, fakes_2_1
from tests.support.fakes import WIDTH, decoder_pipeline, emb2emb_pipeline, image_pipeline

HINT = {"image": Image.new("RGB", (4, 4))}
EMBEDS = {"image_embeds": np.ones((1, WIDTH)), "negative_image_embeds": np.ones((1, WIDTH))}
MASKS = {name: np.ones((1, 3)) for name in ("attention_mask", "negative_attention_mask")}
TEXTS = {name: np.ones((1, 3, STATES)) for name in ("prompt_embeds", "negative_prompt_embeds")}
START = {"prompt": "a", "strength": 1.0}
LATENTS = np.ones((1, 4, 4, 4))
PICTURE = np.ones((16, 16, 3)) / 2


def of_2_1() -> Any:
    pipe = fakes_2_1.combined("decoder").decoder_pipe
    assert isinstance(pipe, KandinskyPipeline)
    return pipe


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any], str, Any]] = {
    "2.0 latents": (fakes_2_0.pipeline, {"prompt": "a"}, "latents", LATENTS),
    "2.0 picture": (lambda: fakes_2_0.pipeline("img2img"), START, "image", LATENTS),
    "2.1": (of_2_1, {"prompt": "a"} | EMBEDS, "image_embeds", EMBEDS["image_embeds"]),
    "2.2": (decoder_pipeline, EMBEDS, "negative_image_embeds", EMBEDS["image_embeds"]),
    "2.2 hint": (lambda: image_pipeline("controlnet"), EMBEDS, "hint", PICTURE),
    "2.2 prior": (emb2emb_pipeline, {"prompt": "a"}, "image", np.ones((1, WIDTH))),
    "3 text": (pipeline, TEXTS | MASKS, "prompt_embeds", TEXTS["prompt_embeds"]),
    "3 negative": (pipeline, TEXTS | MASKS, "negative_prompt_embeds", TEXTS["prompt_embeds"]),
    "3 mask": (pipeline, TEXTS | MASKS, "attention_mask", np.ones((1, 3))),
    "3 IP-Adapter": (adapted, {"prompt": "a"}, "ip_adapter_image_embeds", np.ones((2, EMBEDDING))),
    "3 picture": (adapted, {"prompt": "a"}, "ip_adapter_image", PICTURE),
    "3 hint": (controlled, {"prompt": "a"}, "control_image", PICTURE),
    "3 map": (controlled, {"prompt": "a"} | HINT, "controlnet_conditioning_scale", PICTURE[..., 0]),
    "3 range": (controlled, {"prompt": "a"} | HINT, "control_image_range", np.array([0.0, 1.0])),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused_before_anything_runs(case: str, bad: float) -> None:
    make, arguments, name, array = CASES[case]
    pipe = make()
    size = {} if case == "2.2 prior" else SIZE
    pipe(**{**arguments, name: array}, **size)  # the array itself is a good one
    wrong = array.copy()
    wrong.flat[-1] = bad
    for network in pipe.networks.values():
        for run in ("encode", "begin", "_encode"):
            if hasattr(network, run):
                setattr(network, run, ran)
    with pytest.raises(InvalidInputError, match=name) as caught:
        pipe(**{**arguments, name: wrong}, **size)
    said = str(caught.value)
    assert "\n" not in said
    assert "nan" in said.lower() or "inf" in said.lower() or "finite" in said


def ran(*_: Any, **__: Any) -> Any:
    raise AssertionError("a network ran")
