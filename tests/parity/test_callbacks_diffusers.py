"""One callback, written for diffusers, in both libraries: the same values seen, the same pictures.

The callback is that of diffusers' guide, which switches guidance off in the middle of a call. It
works with tensors, as this module imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import diffusers
import torch

import kandinsky_core as kandinsky
from tests.parity.random_models_3 import TEXTS, save_kandinsky3
from tests.support.backends import needs
from tests.support.tolerances import allowed

TOLERANCE = {"2": allowed("picture"), "3": allowed("3 picture"), "prior": allowed("embeddings")}
REQUEST: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 1.5}
SIZE = {"height": 64, "width": 64, "output_type": "np"}
GENERATOR = np.random.default_rng(0)
IMAGE = torch.from_numpy(GENERATOR.uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32))
MASK = torch.zeros(1, 1, 64, 64)
MASK[..., :32, 20:] = 1
FIRST = {"image_embeds", "masked_image", "mask_image"}  # the arrays with unconditional rows
# class: (folder, the arrays that the callback halves, the call's arguments)
CASES: dict[str, tuple[str, set[str], dict[str, Any]]] = {
    "KandinskyV22Pipeline": ("decoder", FIRST, SIZE),
    "KandinskyV22InpaintPipeline": ("inpaint", FIRST, SIZE | {"image": IMAGE, "mask_image": MASK}),
    "KandinskyV22PriorPipeline": (
        "prior",
        {"prompt_embeds", "text_encoder_hidden_states", "text_mask"},
        {"prompt": "two stars", "output_type": "pt"},
    ),
    "Kandinsky3Pipeline": (
        "kandinsky3",
        {"prompt_embeds", "attention_mask"},
        SIZE | {"prompt": TEXTS[0], "width": 128},
    ),
}


@pytest.fixture(scope="module")
def folders(random_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    third = save_kandinsky3(tmp_path_factory.mktemp("kandinsky3"))
    return lambda name: third if name == "kandinsky3" else random_root / name


class Guide:
    """The callback; it writes down what it sees."""

    def __init__(self, halved: set[str], weight: float) -> None:
        self.halved, self.weight = halved, weight
        self.seen: list[Any] = []

    def __call__(self, pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> Any:
        state = pipe.guidance_scale, pipe.num_timesteps, pipe.guidance_scale > 1
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        self.seen.append((index, timestep.item(), state, shapes))
        if index == int(pipe.num_timesteps * 0.4):
            pipe._guidance_scale = self.weight
            if self.weight <= 1:
                values |= {name: values[name].chunk(2)[-1] for name in self.halved & set(values)}
        if index == 2:
            values["latents"] = torch.clamp(values["latents"], -1.0, 1.0) * 0.9
        return values


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "name", "weight"),
    [
        *(pytest.param("jax", name, 0.0, marks=needs("jax")) for name in CASES),
        pytest.param("jax", "Kandinsky3Pipeline", 3.0, marks=needs("jax")),
        pytest.param("mindspore", "KandinskyV22InpaintPipeline", 0.0, marks=needs("mindspore")),
    ],
)
def test_the_guides_callback_makes_the_same_pictures(
    folders: Any, backend_of: Callable[[str], Any], backend: str, name: str, weight: float
) -> None:
    folder, halved, arguments = CASES[name]
    made, seen = [], []
    for library, options in ((diffusers, {}), (kandinsky, {"backend": backend_of(backend)})):
        pipe = getattr(library, name).from_pretrained(folders(folder), **options)
        pipe.set_progress_bar_config(disable=True)
        inputs = dict(arguments)
        if "prompt" not in inputs:
            width = 24 if library is diffusers else pipe.unet.config.image_embed_dim
            embeds = torch.randn((2, width), generator=torch.Generator().manual_seed(1))
            inputs |= {"image_embeds": embeds[:1], "negative_image_embeds": embeds[1:]}
        callback = Guide(halved, weight)
        result = pipe(
            **inputs,
            **REQUEST,
            generator=torch.Generator().manual_seed(3),
            callback_on_step_end=callback,
            callback_on_step_end_tensor_inputs=getattr(diffusers, name)._callback_tensor_inputs,
        )
        made.append(np.asarray(result[0]))
        seen.append(callback.seen)
        assert (pipe.guidance_scale, pipe.num_timesteps) == (weight, len(callback.seen))
    assert seen[0] == seen[1]
    difference = np.abs(made[0] - made[1]).max()
    print(f"{name}: max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    limit = TOLERANCE["3" if "3" in name else "prior" if "Prior" in name else "2"]
    assert difference <= limit
    assert made[0].std() > 0.01, "a flat picture proves nothing"
