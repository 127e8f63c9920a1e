"""The samples of Kandinsky 2.2's model card and of diffusers' guide: same calls, and they run."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from tests.support.backends import needs

FOLDER = Path(__file__).parents[2] / "examples"
# Pipelines and calls as they stand in the samples (Kandinsky 2.2, diffusers 0.39).
_AUTO_IMAGE = "AutoPipelineForImage2Image.from_pretrained()"
_AUTO_INPAINT = "AutoPipelineForInpainting.from_pretrained()"
_AUTO_TEXT = "AutoPipelineForText2Image.from_pretrained()"
_PRIOR = "KandinskyV22PriorPipeline.from_pretrained()"
_GRID = (
    "make_image_grid([original_image.resize((768, 768)), image.resize((768, 768))], rows=1, cols=2)"
)
_MASK_GRID = "make_image_grid([init_image, mask, output_image], rows=1, cols=3)"
SAMPLES = {
    "model_card/text_to_image": [
        _AUTO_TEXT,
        "pipe(prompt=prompt, negative_prompt=negative_prompt, prior_guidance_scale =1.0, "
        "height=768, width=768)",
    ],
    "model_card/image_to_image": [
        _AUTO_IMAGE,
        "pipe.enable_model_cpu_offload()",
        "pipe(prompt=prompt, image=original_image, strength=0.3, height=768, width=768)",
    ],
    "model_card/interpolate": [
        _PRIOR,
        "pipe_prior.interpolate(images_texts, weights)",
        "KandinskyV22Pipeline.from_pretrained()",
        "pipe(**prior_out, height=768, width=768)",
    ],
    "model_card/inpainting": [
        _AUTO_INPAINT,
        "pipe.enable_model_cpu_offload()",
        "np.zeros((768, 768), dtype=np.float32)",
        "pipe(prompt=prompt, image=init_image, mask_image=mask, height=768, width=768, "
        "num_inference_steps=150)",
    ],
    "model_card/controlnet": [
        _PRIOR,
        "KandinskyV22ControlnetPipeline.from_pretrained()",
        "pipe_prior(prompt=prompt, negative_prompt=negative_prior_prompt, "
        "generator=generator).to_tuple()",
        "pipe(image_embeds=image_emb, negative_image_embeds=zero_image_emb, hint=hint, "
        "num_inference_steps=50, generator=generator, height=768, width=768)",
    ],
    "model_card/controlnet_image_to_image": [
        "KandinskyV22PriorEmb2EmbPipeline.from_pretrained()",
        "KandinskyV22ControlnetImg2ImgPipeline.from_pretrained()",
        "pipe_prior(prompt=prompt, image=img, strength=0.85, generator=generator)",
        "pipe_prior(prompt=negative_prior_prompt, image=img, strength=1, generator=generator)",
        "pipe(image=img, strength=0.5, image_embeds=img_emb.image_embeds, "
        "negative_image_embeds=negative_emb.image_embeds, hint=hint, num_inference_steps=50, "
        "generator=generator, height=768, width=768)",
    ],
    "guide/text_to_image": [
        _PRIOR,
        "KandinskyV22Pipeline.from_pretrained()",
        "prior_pipeline(prompt, guidance_scale=1.0).to_tuple()",
        "pipeline(image_embeds=image_embeds, negative_image_embeds=negative_image_embeds, "
        "height=768, width=768)",
    ],
    "guide/text_to_image_combined": [
        _AUTO_TEXT,
        "pipeline.enable_model_cpu_offload()",
        "pipeline(prompt=prompt, negative_prompt=negative_prompt, prior_guidance_scale=1.0, "
        "guidance_scale=4.0, height=768, width=768)",
    ],
    "guide/image_to_image": [
        "KandinskyPriorPipeline.from_pretrained()",
        "KandinskyV22Img2ImgPipeline.from_pretrained()",
        "prior_pipeline(prompt, negative_prompt).to_tuple()",
        "pipeline(image=original_image, image_embeds=image_embeds, "
        "negative_image_embeds=negative_image_embeds, height=768, width=768, strength=0.3)",
        _GRID,
    ],
    "guide/image_to_image_combined": [
        _AUTO_IMAGE,
        "pipeline.enable_model_cpu_offload()",
        "original_image.thumbnail((768, 768))",
        "pipeline(prompt=prompt, negative_prompt=negative_prompt, image=original_image, "
        "strength=0.3)",
        _GRID,
    ],
    "guide/inpainting": [
        _PRIOR,
        "KandinskyV22InpaintPipeline.from_pretrained()",
        "np.zeros((768, 768), dtype=np.float32)",
        "prior_pipeline(prompt)",
        "pipeline(image=init_image, mask_image=mask, **prior_output, height=768, width=768, "
        "num_inference_steps=150)",
        _MASK_GRID,
    ],
    "guide/inpainting_combined": [
        _AUTO_INPAINT,
        "pipe.enable_model_cpu_offload()",
        "pipe(prompt=prompt, image=init_image, mask_image=mask)",
        _MASK_GRID,
    ],
    "guide/optimizations": [
        "DDPMScheduler.from_pretrained()",
        "pipe.enable_xformers_memory_efficient_attention()",
        "pipe.unet.to(memory_format=torch.channels_last)",
        "torch.compile(pipe.unet, mode='reduce-overhead', fullgraph=True)",
        "AttnAddedKVProcessor2_0()",
        "pipe.unet.set_attn_processor(AttnAddedKVProcessor2_0())",
        "pipe.enable_model_cpu_offload()",
    ],
}
# Samples differ in what core does. So MindSpore, which is slow on a CPU, runs one of each model.
RUNS = [("jax", name) for name in SAMPLES]
RUNS += [
    ("mindspore", f"model_card/{name}") for name in ("image_to_image", "inpainting", "controlnet")
]


def test_every_sample_is_an_example() -> None:
    """Others: for 2.1 and 3, weights are made by PyTorch; for many devices, devices by `msrun`."""
    found = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.py")}
    others = ("kandinsky2_1/", "kandinsky3/", "many_devices/")
    own = {name for name in found if not name.startswith(others)}
    assert own == set(SAMPLES)


class _Sample(ast.NodeTransformer):
    """Leaves out what the examples make options of: models, dtype, backend, size, steps."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Name("size") if node.value == 768 else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained":
            node.args, node.keywords = [], []
        node.keywords = [word for word in node.keywords if word.arg != "num_inference_steps"]
        return node


def calls(source: str) -> set[str]:
    tree = _Sample().visit(ast.parse(source))
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("name", SAMPLES)
def test_example_makes_the_calls_of_the_sample(name: str) -> None:
    made = calls((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    for sample in SAMPLES[name]:
        assert calls(sample) <= made, sample


@pytest.mark.usefixtures("shallow_shapes")
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param(name, backend, marks=[needs(backend), pytest.mark.slow(seconds=5)])
        for backend, name in RUNS
    ],
)
def test_example_runs(
    name: str,
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # four steps, of which image to image takes one
    words = ["--backend", backend, "--steps", "4", "--output", "picture.png"]
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out == "picture.png\n"
    columns = 1
    for grid, count in ((_GRID, 2), (_MASK_GRID, 3)):
        columns = count if grid in SAMPLES[name] else columns
    with Image.open("picture.png") as image:
        assert image.size == (columns * 64, 64)
        last = image.convert("RGB").crop(((columns - 1) * 64, 0, columns * 64, 64))
        assert max(ImageStat.Stat(last).stddev) > 5, "a flat picture"
