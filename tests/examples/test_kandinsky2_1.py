"""The samples of Kandinsky 2.1's model card and of diffusers' guide: same calls, and they run.

With small random weights that diffusers saved, of 32 pixels.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageStat

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

import kandinsky_core as kandinsky  # noqa: E402
from tests.examples.test_kandinsky2_2 import FOLDER, calls  # noqa: E402
from tests.support.backends import BACKENDS, needs  # noqa: E402

SIDE = 32
# Calls as they stand in the samples (diffusers 0.39).
SAMPLES = {
    "text_to_image": [
        "KandinskyPriorPipeline.from_pretrained()",
        "KandinskyPipeline.from_pretrained()",
        "prior_pipeline(prompt, negative_prompt, guidance_scale=1.0).to_tuple()",
        "pipeline(prompt, image_embeds=image_embeds, negative_prompt=negative_prompt, "
        "negative_image_embeds=negative_image_embeds, height=768, width=768)",
    ],
    "text_to_image_combined": [
        "AutoPipelineForText2Image.from_pretrained()",
        "pipeline.enable_model_cpu_offload()",
        "pipeline(prompt=prompt, negative_prompt=negative_prompt, prior_guidance_scale=1.0, "
        "guidance_scale=4.0, height=768, width=768)",
    ],
    "image_to_image": [
        "KandinskyPriorPipeline.from_pretrained()",
        "KandinskyImg2ImgPipeline.from_pretrained()",
        "prior_pipeline(prompt, negative_prompt).to_tuple()",
        "pipeline(prompt, negative_prompt=negative_prompt, image=original_image, "
        "image_embeds=image_embeds, negative_image_embeds=negative_image_embeds, height=768, "
        "width=768, strength=0.3)",
    ],
    "image_to_image_combined": [
        "AutoPipelineForImage2Image.from_pretrained()",
        "pipeline.enable_model_cpu_offload()",
        "original_image.thumbnail((768, 768))",
        "pipeline(prompt=prompt, negative_prompt=negative_prompt, image=original_image, "
        "strength=0.3)",
    ],
    "inpainting": [
        "KandinskyPriorPipeline.from_pretrained()",
        "KandinskyInpaintPipeline.from_pretrained()",
        "np.zeros((768, 768), dtype=np.float32)",
        "prior_pipeline(prompt)",
        "pipeline(prompt, image=init_image, mask_image=mask, **prior_output, height=768, "
        "width=768, num_inference_steps=150)",
        "make_image_grid([init_image, mask, output_image], rows=1, cols=3)",
    ],
    "inpainting_combined": [
        "AutoPipelineForInpainting.from_pretrained()",
        "pipe.enable_model_cpu_offload()",
        "pipe(prompt=prompt, image=init_image, mask_image=mask)",
        "make_image_grid([init_image, mask, output_image], rows=1, cols=3)",
    ],
    "interpolate": [
        "KandinskyPriorPipeline.from_pretrained()",
        "pipe_prior.interpolate(images_texts, weights)",
        "KandinskyPipeline.from_pretrained()",
        "pipe(prompt, **prior_out, height=768, width=768)",
    ],
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "given.png"
    with Image.open(FOLDER / "images" / "circle.png") as image:
        image.resize((SIDE, SIDE)).save(path)
    return path


def test_every_sample_is_an_example() -> None:
    assert {path.stem for path in (FOLDER / "kandinsky2_1").glob("*.py")} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_example_makes_the_calls_of_the_sample(name: str) -> None:
    made = calls((FOLDER / "kandinsky2_1" / f"{name}.py").read_text(encoding="utf-8"))
    for sample in SAMPLES[name]:
        assert calls(sample) <= made, sample


@pytest.mark.slow
@needs("jax")
@pytest.mark.parametrize("name", SAMPLES)
def test_example_runs(
    name: str,
    multilingual_root: Path,
    tmp_path: Path,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (FOLDER / "kandinsky2_1" / f"{name}.py").read_text(encoding="utf-8")
    half = multilingual_root / ("inpaint" if "inpainting" in name else "decoder")
    model = "--decoder" if '"--decoder"' in source else "--model"
    words = [model, str(half), "--prior", str(multilingual_root / "prior"), "--size", str(SIDE)]
    words += ["--backend", "jax", "--steps", "4", "--output", "picture.png"]
    if '"--image"' in source:
        words += ["--image", str(picture)]
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(FOLDER / "kandinsky2_1" / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out == "picture.png\n"
    columns = 3 if "inpainting" in name else 2 if "image_to_image" in name else 1
    with Image.open("picture.png") as image:
        assert image.size == (columns * SIDE, SIDE)
        last = image.convert("RGB").crop(((columns - 1) * SIDE, 0, columns * SIDE, SIDE))
        assert max(ImageStat.Stat(last).stddev) > 5, "a flat picture"


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_the_card_says_otherwise_than_the_guide(
    backend: str, multilingual_root: Path, picture: Path
) -> None:
    """Its calls with a default less or more, in one process, and the guide's ones to tune."""

    def load(auto: Any, half: str) -> Any:
        pipe = auto.from_pretrained(
            multilingual_root / half, prior=multilingual_root / "prior", backend=backend
        )
        pipe.set_progress_bar_config(disable=True)
        pipe.enable_xformers_memory_efficient_attention()
        return pipe

    few: dict[str, Any] = {"num_inference_steps": 4, "prior_num_inference_steps": 2}
    prompt, negative_prompt = "A fantasy landscape, Cinematic lighting", "low quality, bad quality"
    pipe = load(kandinsky.AutoPipelineForText2Image, "decoder")
    image = pipe(
        prompt=prompt,
        negative_prompt=negative_prompt,
        prior_guidance_scale=1.0,
        height=SIDE,
        width=SIDE,
        **few,
    ).images[0]
    assert image.size == (SIDE, SIDE)

    original_image = kandinsky.load_image(picture)
    pipe = load(kandinsky.AutoPipelineForImage2Image, "decoder")
    image = pipe(prompt=prompt, image=original_image, strength=0.3, **few).images[0]
    assert image.size == (SIDE, SIDE)

    mask = np.zeros((SIDE, SIDE), dtype=np.float32)
    mask[:10, 10:-10] = 1
    pipe = load(kandinsky.AutoPipelineForInpainting, "inpaint")
    image = pipe(prompt="a hat", image=original_image, mask_image=mask, **few).images[0]
    assert image.size == (SIDE, SIDE)
