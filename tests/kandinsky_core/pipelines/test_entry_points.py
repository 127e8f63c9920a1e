"""`get_kandinsky2` for 2.1 and 2.2; `test_kandinsky2_0.py` beside this has 2.0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kandinsky_core import KandinskyV22CombinedPipeline, KandinskyV22InpaintCombinedPipeline
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines import entry_points
from kandinsky_core.pipelines.entry_points import get_kandinsky2
from tests.support import fakes_2_1
from tests.support.fakes import combined_pipeline

SIDE = 16
PICTURE = np.arange(SIDE * SIDE * 3, dtype=np.uint32).reshape(SIDE, SIDE, 3).astype(np.uint8)
MASK = np.ones((SIDE, SIDE), np.float32)
MASK[:, 8:] = 0
FEW = {"h": SIDE, "w": SIDE, "prior_steps": 2, "seed": 1}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a version and a task; models are fakes, whose names are noted."""
    names: list[str] = []

    def make(version: str, task: str) -> Any:
        inpaints = task == "inpainting"
        second = KandinskyV22InpaintCombinedPipeline if inpaints else KandinskyV22CombinedPipeline
        pipe = (
            fakes_2_1.combined("inpaint" if inpaints else "decoder")
            if version == "2.1"
            else combined_pipeline(second)
        )
        for auto in ("AutoPipelineForInpainting", "AutoPipelineForText2Image"):
            monkeypatch.setattr(
                getattr(entry_points, auto),
                "from_pretrained",
                lambda name, **_: names.append(name) or pipe,
            )
        return get_kandinsky2("cpu", task, model_version=version), names

    return make


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_the_readme_runs(load: Any, version: str) -> None:
    steps = "num_steps" if version == "2.1" else "decoder_steps"
    options = {**FEW, steps: 4, "batch_size": 2}
    model, names = load(version, "text2img")
    assert names == [entry_points._MODELS[version]]
    runs = model.pipe.decoder_pipe.unet.runs
    assert len(model.generate_text2img("a cat", **options)) == 2
    assert len(model.mix_images(["a cat", PICTURE], [0.3, 0.7], **options)) == 2
    strength = 0.25 if version == "2.1" else 0.75  # the same share of noise
    assert len(model.generate_img2img("a cat", PICTURE, strength=strength, **options)) == 2
    assert [len(run.timesteps) for run in runs] == [4, 4, 3]
    again = [np.asarray(picture) for picture in model.generate_text2img("a cat", **options)]
    np.testing.assert_array_equal(again, model.generate_text2img("a cat", **options))
    with pytest.raises(InvalidInputError, match="task_type='inpainting'"):
        model.generate_inpainting("a cat", PICTURE, MASK)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_masks_are_each_versions_own(load: Any, version: str) -> None:
    """1 is kept in 2.1, as in 2.0, and repainted in 2.2, as in diffusers."""
    model, names = load(version, "inpainting")
    assert names[0].endswith("-inpaint")
    model.generate_inpainting("a cat", PICTURE, MASK, **FEW)
    kept = model.pipe.decoder_pipe.unet.runs[-1].conditioning["image_latents"][0, 4]
    wanted = [1, 0, 0, 0] if version == "2.1" else [0, 0, 0, 1]
    np.testing.assert_array_equal(kept, np.tile(np.array(wanted, np.float32), (4, 1)))


def test_negative_prompts_and_samplers(load: Any) -> None:
    model, _ = load("2.1", "text2img")
    runs = model.pipe.decoder_pipe.unet.runs
    for negative in ("", "ugly"):
        words = {"negative_decoder_prompt": negative, "prior_steps": "2"}
        model.generate_text2img("a cat", num_steps=2, sampler="p_sampler", **{**FEW, **words})
    assert runs[0].rule.learned_variance
    assert runs[0].rule.threshold.maximum == 2
    assert (runs[0].conditioning["image_embeds"][0] == -1).all(), "the zero image"
    assert not np.array_equal(*(run.conditioning["image_embeds"][0] for run in runs))
    with pytest.raises(InvalidInputError, match="sampler='plms_sampler'"):
        model.generate_text2img("a cat", sampler="plms_sampler")
    with pytest.raises(InvalidInputError, match=r"ddim_eta: only .* model_version='2.0'"):
        model.generate_text2img("a teddy bear", ddim_eta=0.05)  # the README's, without a version
    with pytest.raises(InvalidInputError, match=r"model='shapes' is no Kandinsky 2\.1: .*ersion="):
        get_kandinsky2("cpu", model="shapes")  # before weights are read
    for version in ("2.3", None):
        with pytest.raises(InvalidInputError, match="model_version"):
            get_kandinsky2(model_version=version)
