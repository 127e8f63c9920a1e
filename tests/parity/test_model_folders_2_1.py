"""Folders of Kandinsky 2.1 as diffusers saves them: which pipeline they become, and commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

import kandinsky_core as kandinsky  # noqa: E402
from kandinsky_cli.main import main  # noqa: E402
from kandinsky_converters.convert import convert  # noqa: E402
from kandinsky_core.checkpoints.checkpoint import Checkpoint  # noqa: E402
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles  # noqa: E402
from kandinsky_core.errors import CheckpointError, ConfigError  # noqa: E402
from kandinsky_core.pictures.metadata import read_metadata  # noqa: E402
from tests.kandinsky_core.pipelines.test_diffusion_pipeline import Configs  # noqa: E402
from tests.parity.test_image_tasks import half_mask, picture  # noqa: E402
from tests.support.backends import BACKENDS, needs  # noqa: E402
from tests.support.damage import raw_safetensors  # noqa: E402

pytestmark = needs("jax")

AUTO = ("AutoPipelineForText2Image", "AutoPipelineForImage2Image", "AutoPipelineForInpainting")
TASKS = dict(zip(AUTO, ("", "Img2Img", "Inpaint"), strict=True))
HALVES = dict(zip(AUTO, ("decoder", "decoder", "inpaint"), strict=True))
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def roots(multilingual_root: Path, random_root: Path) -> dict[str, Path]:
    return {"": multilingual_root, "V22": random_root}


@pytest.mark.parametrize("auto", AUTO)
@pytest.mark.parametrize("family", ["", "V22"])
def test_the_folder_says_the_family(auto: str, family: str, roots: dict[str, Path]) -> None:
    for model in (roots[family], roots[family] / HALVES[auto]):
        pipe = getattr(kandinsky, auto).from_pretrained(
            model, prior=roots[family] / "prior", backend=Configs()
        )
        assert type(pipe).__name__ == f"Kandinsky{family}{TASKS[auto]}CombinedPipeline"
        for other in AUTO:
            if HALVES[other] == HALVES[auto]:
                shared = getattr(kandinsky, other).from_pipe(pipe)
                assert type(shared).__name__ == f"Kandinsky{family}{TASKS[other]}CombinedPipeline"
                assert shared.unet is pipe.unet
                assert shared.prior_prior is pipe.prior_prior
            else:
                with pytest.raises(ConfigError, match=f"needs the UNet of Kandinsky{family}"):
                    getattr(kandinsky, other).from_pipe(pipe)


@pytest.mark.parametrize(
    ("task", "half"),
    [("Pipeline", "decoder"), ("Img2ImgPipeline", "decoder"), ("InpaintPipeline", "inpaint")],
)
def test_the_folder_of_the_other_family_is_refused(
    task: str, half: str, roots: dict[str, Path]
) -> None:
    """Before any weights are read."""
    ours, theirs = getattr(kandinsky, f"Kandinsky{task}"), getattr(kandinsky, f"KandinskyV22{task}")
    with pytest.raises(CheckpointError, match=r"is a KandinskyV22.* without text_encoder, token"):
        ours.from_pretrained(roots["V22"] / half, backend=Configs())
    with pytest.raises(ConfigError, match=rf"KandinskyV22{task} needs the UNet of.*one of Kandins"):
        theirs.from_pretrained(roots[""] / half, backend=Configs())
    # an inpainting UNet for text to image, and the other way round
    other = "inpaint" if half == "decoder" else "decoder"
    with pytest.raises(ConfigError, match=f"Kandinsky{task} needs the UNet of"):
        ours.from_pretrained(roots[""] / other, backend=Configs())


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        ("decoder", "KandinskyPipeline"),
        ("inpaint", "KandinskyInpaintPipeline"),
        ("prior", "KandinskyPriorPipeline"),
    ],
)
def test_diffusion_pipeline_is_what_the_folder_says(
    half: str, expected: str, roots: dict[str, Path]
) -> None:
    pipe = kandinsky.DiffusionPipeline.from_pretrained(roots[""] / half, backend=Configs())
    assert type(pipe).__name__ == expected


def test_a_prior_is_no_decoder(roots: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="it is a prior: give its decoder instead"):
        kandinsky.AutoPipelineForText2Image.from_pretrained(roots[""] / "prior")


@pytest.fixture
def given(tmp_path: Path) -> dict[str, list[str]]:
    """Words of each command."""
    picture(40, 40).save(tmp_path / "image.png")
    half_mask(40, 40).save(tmp_path / "mask.png")
    image = ["--image", str(tmp_path / "image.png")]
    return {
        "generate": [],
        "img2img": [*image, "--strength", "0.5"],
        "inpaint": [*image, "--mask", str(tmp_path / "mask.png")],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "backend"),
    [
        pytest.param("generate", "mindspore", marks=needs("mindspore")),
        *(pytest.param(command, "jax") for command in ("generate", "img2img", "inpaint")),
    ],
)
def test_commands_make_pictures(
    command: str,
    backend: str,
    roots: dict[str, Path],
    given: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "picture.png"
    words = [command, "красный круг", *given[command], "--model", str(roots[""]), "--json"]
    words += ["--backend", backend, "--steps", "4", "--prior-steps", "2", "--seed", "3"]
    assert main([*words, "--output", str(path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["images"]
    assert (found["backend"], found["scheduler"]) == (backend, "DDIMScheduler")
    assert found["prompt"] == read_metadata(path)["prompt"] == "красный круг"
    with Image.open(path) as image:
        assert image.size == (32, 32)
        assert np.asarray(image).std() > 5


COMPONENTS = ["text_encoder", "multilingual", "image_encoder", "prior", "unet"]
COMPONENTS += ["movq encode", "movq decode", "picture"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_verify(backend: str, roots: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backends", backend, "--against", "diffusers", "--steps", "4", "--json"]
    code = main(["verify", "--model", str(roots[""]), *words])
    found = json.loads(capsys.readouterr().out)
    rows = {row["component"]: row for row in found["rows"]}
    assert list(rows) == COMPONENTS
    assert code == 0, {name: row["relative"] for name, row in rows.items()}
    assert found["passed"]
    assert all(row["max_abs"] > 0 for row in rows.values()), "compared with itself?"


def test_bug_33_misaligned_weights_are_read(roots: dict[str, Path], tmp_path: Path) -> None:
    """The published 2.1 files begin their data at 2 modulo 4."""
    folder = Path(shutil.copytree(roots[""] / "decoder", tmp_path / "decoder"))
    file = folder / "movq" / WEIGHTS
    plain = SafetensorsFiles([roots[""] / "decoder" / "movq" / WEIGHTS])
    tensors = {name: ("F32", np.array(plain.read(name))) for name in plain.names()}
    raw_safetensors(file, tensors, 2)
    assert (8 + int.from_bytes(file.read_bytes()[:8], "little")) % 4 == 2
    latents = np.random.default_rng(0).standard_normal((1, 4, 8, 8), np.float32)
    pictures = []
    for model in (folder, roots[""] / "decoder"):
        source = Checkpoint.open(model).components["movq"]
        pictures.append(kandinsky.get_backend("jax").load(source, "float32").decode(latents))
    np.testing.assert_array_equal(*pictures)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_converted_folder_makes_the_same_picture(
    backend: str, roots: dict[str, Path], tmp_path: Path
) -> None:
    convert(roots[""] / "decoder", backend, tmp_path / "converted")
    embeds = np.random.default_rng(0).standard_normal((2, 1, 32), np.float32)
    request = {"num_inference_steps": 3, "seed": 1, "output_type": "np"}
    pictures = []
    for folder in (roots[""] / "decoder", tmp_path / "converted"):
        pipe = kandinsky.KandinskyPipeline.from_pretrained(folder, backend=backend)
        pipe.set_progress_bar_config(disable=True)
        pictures.append(pipe("красный круг", *embeds, **request).images)
    np.testing.assert_array_equal(*pictures)
