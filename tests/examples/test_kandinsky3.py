"""The samples of diffusers' guide to Kandinsky 3, of ai-forever's README and of its IP-Adapter run.

They make the same calls, with small random weights, of 64 pixels.
"""

from __future__ import annotations

import ast
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageStat

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from tests.examples.test_kandinsky2_2 import FOLDER, calls  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.parity.original_kandinsky3 import MOVQ, UNET, save_repository  # noqa: E402
from tests.parity.random_models_3 import MOVQ as OF_3  # noqa: E402
from tests.parity.random_models_3 import save_kandinsky3, tokenizer  # noqa: E402
from tests.support.backends import all_on_jax  # noqa: E402
from tests.support.kandinsky3_adapters_folder import write_adapters  # noqa: E402

SIDE = 64
_CORGI = "'A cute corgi lives in a house made out of sushi.'"
# Calls as they stand in the samples.
SAMPLES = {
    "text_to_image": [
        "Kandinsky3Pipeline.from_pretrained()",
        "pipeline.enable_model_cpu_offload()",
        "pipeline(prompt)",
    ],
    "image_to_image": [
        "Kandinsky3Img2ImgPipeline.from_pretrained()",
        "pipeline.enable_model_cpu_offload()",
        "pipeline(prompt, negative_prompt=negative_prompt, image=image, strength=0.75, "
        "num_inference_steps=25)",
    ],
    "readme_text_to_image": ["get_T2I_pipeline(device_map, dtype_map)", f"t2i_pipe({_CORGI})"],
    "readme_flash": ["get_T2I_Flash_pipeline(device_map, dtype_map)", f"t2i_pipe({_CORGI})"],
    "readme_inpainting": [
        "get_inpainting_pipeline(device_map, dtype_map)",
        f"inp_pipe({_CORGI}, image, mask)",
    ],
    # Of this model's card the calls are known, but not the text. The last call stands for its mix
    # of text and picture. The ControlNets have no cards.
    "ip_adapter": [
        "KandinskyV3PipelineIpAdapter.from_pretrained()",
        "pipe('4k caption', img=[first], weights=[1], **shared)",
        "pipe('4k photo', img=[first, second], weights=[0.5, 0.5], **shared)",
        "pipe('a red star', img=[first], weights=[1], img_weight=0.5, **shared)",
    ],
}
MORE = {"ip_adapter": ("picture-mixed.png", "picture-text.png")}
# What the examples make options of.
_OURS = {"backend", "height", "model", "size", "steps", "width"}


@pytest.fixture(scope="module")
def guide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_kandinsky3(tmp_path_factory.mktemp("kandinsky-3"))


@pytest.fixture(scope="module")
def original_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Kandinsky3.1")
    unet = tiny.kandinsky3_unet(UNET)
    unets = {
        "kandinsky3": unet,
        "kandinsky3_flash": unet,
        "kandinsky3_inpainting": tiny.kandinsky3_inpainting_unet(UNET),
    }
    save_repository(folder / "weights", unets, tiny.movq(MOVQ), tiny.t5(tiny.T5), tokenizer())
    return folder


@pytest.fixture(scope="module")
def adapters_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the fork's form, as the model was published."""
    folder = write_adapters(tmp_path_factory.mktemp("adapters"), tokenizer())
    shutil.rmtree(folder / "movq")  # whose pictures are flat
    tiny.movq(OF_3).save_pretrained(folder / "movq")
    return folder


def test_every_sample_is_an_example() -> None:
    assert {path.stem for path in (FOLDER / "kandinsky3").glob("*.py")} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_example_makes_the_calls_of_the_sample(name: str) -> None:
    tree = ast.parse((FOLDER / f"kandinsky3/{name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords = [word for word in node.keywords if word.arg not in _OURS]
    made = calls(ast.unparse(tree))
    for sample in SAMPLES[name]:
        assert calls(sample) <= made, sample


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "name"), all_on_jax(SAMPLES, "text_to_image", "readme_inpainting")
)
def test_example_runs(
    backend: str,
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (FOLDER / f"kandinsky3/{name}.py").read_text(encoding="utf-8")
    fixture = "original_model" if name.startswith("readme") else "guide_model"
    fixture = "adapters_model" if name == "ip_adapter" else fixture
    words = ["--model", str(request.getfixturevalue(fixture)), "--size", str(SIDE)]
    words += ["--backend", backend, "--output", "picture.png"]
    if '"--steps"' in source:
        words += ["--steps", "2"]
    if '"--dtype"' in source:  # a CPU computes in float16, slowly
        words += ["--dtype", "float32"]
    if '"--variant"' in source:
        words += ["--variant", ""]
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(FOLDER / f"kandinsky3/{name}.py"), run_name="__main__")
    made = ["picture.png", *MORE.get(name, ())]
    assert capsys.readouterr().out.splitlines() == made
    for path in made:
        with Image.open(path) as image:
            assert image.size == (SIDE, SIDE * 2 // 3 if name == "image_to_image" else SIDE)
            assert max(ImageStat.Stat(image.convert("RGB")).stddev) > 5, "a flat picture"
    assert len({Path(path).read_bytes() for path in made}) == len(made)
