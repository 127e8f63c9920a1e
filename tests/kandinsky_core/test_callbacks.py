"""The callbacks of classes, on Kandinsky 3 with networks of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core.callbacks import (
    MultiPipelineCallbacks,
    PipelineCallback,
    SDCFGCutoffCallback,
)
from kandinsky_core.errors import InvalidInputError
from tests.kandinsky_core.pipelines import test_kandinsky3 as fakes_3
from tests.support.fakes import FakeRun

FEW: dict[str, Any] = {"height": 16, "width": 16, "num_inference_steps": 4, "seed": 0}


class Run(FakeRun):
    """Every step leaves the sample as it is."""

    def step(self, timestep: float, row: Any, noise: Any) -> None: ...


class UNet(fakes_3.UNet):
    """Keeps its run."""

    run: Run

    def begin(self, sample: Any, conditioning: Any, guidance_scale: float, **others: Any) -> Any:
        self.run = Run(sample, conditioning, guidance_scale, others["rule"], None)
        return self.run


class Brighter(PipelineCallback):
    """Writes down the states it sees, and changes the latents."""

    tensor_inputs = ("latents", "prompt_embeds")

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def callback_fn(self, pipeline: Any, step_index: int, timestep: Any, values: Any) -> Any:
        self.rows.append(len(values["prompt_embeds"]))
        return values | {"latents": np.full_like(values["latents"], step_index)}


@pytest.mark.parametrize("where", [{"cutoff_step_ratio": 0.5}, {"cutoff_step_index": 2}])
def test_guidance_ends_at_a_step(where: dict[str, Any]) -> None:
    where = {"cutoff_step_ratio": None} | where
    unet = UNet()
    pipe, brighter = fakes_3.pipeline(unet=unet), Brighter()
    callbacks = MultiPipelineCallbacks([brighter, SDCFGCutoffCallback(**where)])
    images = pipe(["a", "ab"], **FEW, output_type="latent", callback_on_step_end=callbacks).images
    assert brighter.rows == [4, 4, 4, 2]
    assert (unet.run.scale, pipe.guidance_scale) == (1.0, 0.0)
    assert {len(array) for array in unet.run.conditioning.values()} == {2}
    assert (images == 3).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cutoff_step_index": 1}, "give one of them"),
        ({"cutoff_step_ratio": None}, "give one of them"),
        ({"cutoff_step_ratio": 1}, "give a float from 0"),
        ({"cutoff_step_ratio": 1.5}, "give a float from 0"),
    ],
)
def test_steps_that_are_none(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        SDCFGCutoffCallback(**given)


def test_a_class_without_its_method_says_so() -> None:
    with pytest.raises(NotImplementedError, match="PipelineCallback needs a method callback_fn"):
        fakes_3.pipeline()("a", **FEW, callback_on_step_end=PipelineCallback())
