"""Models of Kandinsky 3 by name: folders, a hub, conversions, `Auto*`, entry points, commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
jax = pytest.importorskip("jax")

from PIL import Image  # noqa: E402

import kandinsky_core as kandinsky  # noqa: E402
from kandinsky_cli import make_pictures  # noqa: E402
from kandinsky_cli.repeat_command import command_for  # noqa: E402
from kandinsky_converters.check import check  # noqa: E402
from kandinsky_converters.convert import convert  # noqa: E402
from kandinsky_core.errors import CheckpointError, InvalidInputError  # noqa: E402
from tests.kandinsky_cli.run import runner  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.parity.original_kandinsky3 import MOVQ, UNET, save_repository  # noqa: E402
from tests.parity.random_models_3 import TEXTS, save_kandinsky3, tokenizer  # noqa: E402
from tests.support.fake_hub import FakeHub  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_backend")

REQUEST: dict[str, Any] = {"height": 64, "width": 64, "output_type": "np", "seed": 3}
FEW = REQUEST | {"num_inference_steps": 2}


@pytest.fixture(scope="module")
def guide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_kandinsky3(tmp_path_factory.mktemp("kandinsky-3"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Kandinsky3.1")
    flash = tiny.kandinsky3_unet(UNET)
    flash.conv_out.weight *= 0.3
    unets = {
        "kandinsky3": tiny.kandinsky3_unet(UNET),
        "kandinsky3_flash": flash,
        "kandinsky3_inpainting": tiny.kandinsky3_inpainting_unet(UNET),
    }
    save_repository(folder / "weights", unets, tiny.movq(MOVQ), tiny.t5(tiny.T5), tokenizer())
    return folder


def loaded(pipeline: Any, model: Any, **options: Any) -> Any:
    pipe = pipeline.from_pretrained(model, backend="jax", **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def image_and_mask() -> tuple[Any, Any]:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.float32)
    mask[16:40, 8:56] = 1
    return Image.fromarray(pixels), mask


@pytest.mark.slow
def test_auto_classes(guide_model: Path, repository: Path) -> None:
    """From diffusers' layout and from the originals; one pipeline made from another."""
    text = loaded(kandinsky.AutoPipelineForText2Image, guide_model)
    assert isinstance(text, kandinsky.Kandinsky3Pipeline)
    assert text.convention == "diffusers"
    image, mask = image_and_mask()
    changed = kandinsky.AutoPipelineForImage2Image.from_pipe(text)
    assert isinstance(changed, kandinsky.Kandinsky3Img2ImgPipeline)
    assert changed.unet is text.unet
    changed.set_progress_bar_config(disable=True)
    direct = loaded(kandinsky.AutoPipelineForImage2Image, guide_model)
    request = FEW | {"image": image, "strength": 0.5}
    np.testing.assert_array_equal(
        changed(TEXTS[0], **request).images, direct(TEXTS[0], **request).images
    )
    original = loaded(kandinsky.AutoPipelineForText2Image, repository)
    assert original.convention == "mended"
    again = kandinsky.AutoPipelineForText2Image.from_pipe(original)
    assert again.convention == "mended"
    assert isinstance(again.scheduler, kandinsky.Kandinsky3Scheduler)
    inpaint = loaded(kandinsky.AutoPipelineForInpainting, repository)
    assert isinstance(inpaint, kandinsky.Kandinsky3InpaintPipeline)
    assert inpaint.scheduler.percentile == 0.95
    assert inpaint(TEXTS[0], image=image, mask_image=mask, **FEW).images.shape == (1, 64, 64, 3)
    with pytest.raises(kandinsky.KandinskyError, match="9 for inpainting"):
        kandinsky.AutoPipelineForInpainting.from_pipe(text)
    with pytest.raises(
        CheckpointError, match="is a Kandinsky3Pipeline, which makes no pictures by"
    ):
        kandinsky.AutoPipelineForInpainting.from_pretrained(guide_model)


@pytest.mark.slow
def test_from_a_hub_only_what_the_task_needs_is_fetched(hub: FakeHub, repository: Path) -> None:
    hub.add("ai-forever/Kandinsky3.1", repository)
    pipe = loaded(kandinsky.Kandinsky3FlashPipeline, "ai-forever/Kandinsky3.1")
    fetched = {Path(name).name for name in hub.downloads("ai-forever/Kandinsky3.1")}
    assert {"kandinsky3_flash.pt", "projection_flash.pt", "movq.pt"} <= fetched
    assert not {"kandinsky3.pt", "projection.pt", "kandinsky3_inpainting.pt"} & fetched
    alone = loaded(kandinsky.Kandinsky3FlashPipeline, repository)
    np.testing.assert_array_equal(
        pipe(TEXTS[0], **REQUEST).images, alone(TEXTS[0], **REQUEST).images
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", ["decoder", "flash", "inpaint"])
def test_a_converted_folder_is_the_model(
    hub: FakeHub, repository: Path, tmp_path: Path, part: str
) -> None:
    """Whole, with tokenizer, sampler and index; it paints the same, from a hub too."""
    made = tmp_path / "model"
    convert(repository, "jax", made, part=part)
    assert list(check(repository, made, part=part)) == []
    name = f"someone/kandinsky-3.1-{part}"  # the hub's cache outlives a test
    hub.add(name, made)
    pipe = loaded(kandinsky.DiffusionPipeline, name)
    original = loaded(type(pipe), repository)
    assert pipe.convention == original.convention == "mended"
    assert pipe.scheduler == original.scheduler
    image, mask = image_and_mask()
    request = REQUEST if part == "flash" else FEW
    if part == "inpaint":
        request = FEW | {"image": image, "mask_image": mask}
    np.testing.assert_array_equal(
        pipe(TEXTS[0], **request).images, original(TEXTS[0], **request).images
    )


def test_what_is_missing_is_said(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "k3"
    shutil.copytree(repository, folder)
    (folder / "weights/kandinsky3_flash.pt").unlink()
    with pytest.raises(kandinsky.KandinskyError, match=r"kandinsky3_flash.pt is not there \(there"):
        kandinsky.Kandinsky3FlashPipeline.from_pretrained(folder, backend="jax")
    shutil.rmtree(folder / "weights/flan_ul2_encoder")
    with pytest.raises(CheckpointError, match="without tokenizer, text_encoder"):
        kandinsky.Kandinsky3Pipeline.from_pretrained(folder, backend="jax")
    with pytest.raises(InvalidInputError, match="Kandinsky 3; choose decoder, flash, inpaint"):
        convert(repository, "jax", tmp_path / "out", part="prior")
    with pytest.raises(kandinsky.KandinskyError, match="text_encoder_loading='sometimes': choose"):
        kandinsky.Kandinsky3Pipeline.from_pretrained(repository, text_encoder_loading="sometimes")
    with pytest.raises(InvalidInputError, match="dtype has 'vae': give tokenizer, text_encoder"):
        kandinsky.Kandinsky3Pipeline.from_pretrained(repository, dtype={"vae": "float32"})


@pytest.mark.slow(seconds=12)
def test_each_way_of_loading_the_text_encoder_gives_the_same_picture(guide_model: Path) -> None:
    """What is compiled ahead serves texts of any length, and a text encoder that comes and goes."""
    pictures = []
    # Not the file's one backend: this log holds what these pipelines compile, and nothing else.
    backend: Any = kandinsky.get_backend("jax", winograd=True)
    for way in ("on_demand", "resident", "streamed"):
        pipe = kandinsky.Kandinsky3Pipeline.from_pretrained(
            guide_model, backend=backend, text_encoder_loading=way
        )
        pipe.set_progress_bar_config(disable=True)
        pipe.compile(64, 64, 2)
        count = len(backend.compilations)
        pictures.append(pipe(list(TEXTS[:2]), **FEW).images)
        pipe(TEXTS[3], negative_prompt="low", num_images_per_prompt=2, **FEW)
        assert len(backend.compilations) == count
    found = [(entry.program, entry.shape) for entry in backend.compilations]
    assert len(set(found)) == len(found)
    assert [name for name, _ in found if "TextEncoder" in name] == [
        "T5TextEncoder.encode",
        "T5TextEncoder.block",
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_allclose(pictures[0], pictures[2], atol=allowed("3 picture in blocks"))


def test_a_dtype_for_each_component(guide_model: Path) -> None:
    pipe = loaded(
        kandinsky.Kandinsky3Pipeline,
        guide_model,
        torch_dtype={"unet": torch.bfloat16, "default": torch.float16},
    )
    assert [pipe.networks[name].dtype for name in ("text_encoder", "unet", "movq")] == [
        "bfloat16",
        "bfloat16",
        "float32",
    ]


@pytest.mark.slow(seconds=35)
def test_entry_points(repository: Path) -> None:
    weights = repository / "weights"
    paths = {
        "unet_path": weights / "kandinsky3.pt",
        "text_encoder_path": weights / "flan_ul2_encoder",
        "movq_path": str(weights / "movq.pt"),
    }
    t2i_pipe = kandinsky.get_T2I_pipeline(
        torch.device("cpu"), torch.float32, backend="jax", **paths
    )
    t2i_pipe.pipe.set_progress_bar_config(disable=True)
    size = {"width": 64, "height": 64}
    res = t2i_pipe(TEXTS[0], "low", images_num=3, bs=2, steps=2, seed=5, **size)
    assert [image.size for image in res] == [(64, 64)] * 3
    plain = loaded(kandinsky.Kandinsky3Pipeline, repository)
    plain.convention = "authors"
    request = FEW | {"seed": 5, "negative_prompt": "low", "num_images_per_prompt": 2}
    np.testing.assert_array_equal(
        res[1], plain(TEXTS[0], **request | {"output_type": "pil"}).images[1]
    )
    assert not np.array_equal(
        t2i_pipe(TEXTS[0], steps=2, **size), t2i_pipe(TEXTS[0], steps=2, **size)
    )
    still = t2i_pipe(TEXTS[0], steps=2, eta=0.0, seed=5, **size)
    assert not np.array_equal(still[0], t2i_pipe(TEXTS[0], steps=2, seed=5, **size)[0])
    image, mask = image_and_mask()
    inp_pipe = kandinsky.get_inpainting_pipeline("cpu", "float32", model=repository, backend="jax")
    inp_pipe.pipe.set_progress_bar_config(disable=True)
    (painted,) = inp_pipe(TEXTS[0], image, mask, steps=2, paste_back=True, seed=1)
    np.testing.assert_array_equal(np.asarray(painted)[mask == 0], np.asarray(image)[mask == 0])
    for wrong, said in (
        ({"load_in_8bit": True}, "text_encoder_loading='streamed' needs 2 GB"),
        ({"unet_path": "a/kandinsky3.pt", "movq_path": "b/movq.pt"}, "must lie in one folder"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            kandinsky.get_T2I_pipeline("cpu", **wrong)
    with pytest.raises(InvalidInputError, match=r"guidance_scale=0\.5: give 0"):
        t2i_pipe(TEXTS[0], guidance_scale=0.5)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command finds the pipeline that the same command with the same model loaded before."""
    load_model, kept = make_pictures.load_model, {}

    def load(options: Any, pipeline: Any) -> Any:
        names = ("command", "model", "flash", "text_encoder_loading", "prior_steps")
        key = tuple(str(getattr(options, name, None)) for name in names)
        if key not in kept:
            kept[key] = load_model(options, pipeline)
        return kept[key]

    monkeypatch.setattr(make_pictures, "load_model", load)


@pytest.mark.slow(seconds=40)
@pytest.mark.usefixtures("loaded_once")
def test_commands(run: Callable[..., Any], repository: Path, tmp_path: Path) -> None:
    image, mask = image_and_mask()
    image.save("image.png")
    Image.fromarray((mask * 255).astype(np.uint8)).save("mask.png")
    size = ["--height", "64", "--width", "64", "--seed", "3", "--backend", "jax"]
    calls = {
        "generate": [TEXTS[0], "--steps", "2", "--scheduler", "ddpm", "--negative-prompt", "low"],
        "flash": [TEXTS[0], "--flash", "--text-encoder-loading", "streamed"],
        "img2img": [TEXTS[0], "--image", "image.png", "--strength", "0.5", "--steps", "4"],
        "inpaint": [TEXTS[0], "--image", "image.png", "--mask", "mask.png", "--steps", "2"],
    }
    for name, words in calls.items():
        command = "generate" if name == "flash" else name
        file = f"{name}.png"
        status, out, err = run(
            command, *words, "--model", repository, *size, "--output", file, "--json"
        )
        assert status == 0, err
        (made,) = json.loads(out)["images"]
        again = shlex.split(str(command_for(kandinsky.read_metadata(file))))
        assert again[0] == "kandinsky"
        status, _, err = run(*again[1:], "--output", f"{name}-again.png")
        assert status == 0, err
        with Image.open(file) as first, Image.open(f"{name}-again.png") as second:
            np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
        assert made["prompt"] == TEXTS[0]
    assert kandinsky.read_metadata("flash.png")["num_inference_steps"] == 4
    status, out, err = run("generate", "a cat", "--model", repository, "--prior-steps", "3", *size)
    assert (status, out) == (2, "")
    assert "--prior-steps" in err
    assert "has no prior, leave them out" in err
    status, out, err = run("verify", "--model", repository, "--backends", "jax")
    assert (status, out) == (2, "")
    assert "jax alone has nothing to be compared with" in err
    assert "diffusers has no reader of these files" in err
    status, out, err = run("info", repository)
    assert status == 0, err
    assert "Kandinsky3Pipeline" in out
    status, out, err = run(
        "convert", repository, "--to", "jax", "--output", "k3", "--part", "flash"
    )
    assert status == 0, err
    status, out, err = run("convert", repository, "--check", "k3", "--part", "flash")
    assert status == 0, out
    status, _, err = run("generate", TEXTS[0], "--model", "k3", *size, "--output", "native.png")
    assert status == 0, err
    with Image.open("native.png") as image:
        assert image.size == (64, 64)


@pytest.mark.slow
def test_the_memory_of_original_files(
    run: Callable[..., Any], hub: FakeHub, repository: Path, tmp_path: Path
) -> None:
    """Each UNet is described, and one of them counted; of a hub there is the index only."""

    def described(model: Any) -> dict[str, Any]:
        status, out, err = run("info", model, "--dtype", "bfloat16", "--json")
        assert status == 0, err
        return dict(json.loads(out))

    found = described(repository)
    assert found["Kandinsky3InpaintPipeline"]["unet"]["tensors"] == 1071
    classes = {"Kandinsky3Pipeline", "Kandinsky3FlashPipeline", "Kandinsky3InpaintPipeline"}
    assert classes <= set(found)
    pipe = loaded(kandinsky.Kandinsky3Pipeline, repository, dtype="bfloat16")
    for name, network in pipe.networks.items():
        part = found["memory"]["components"][name]
        assert part["dtype"] == network.dtype
        if name != "text_encoder":  # which is not there before it encodes
            leaves = jax.tree.leaves(network._weights)
            assert part["bytes"] == sum(leaf.nbytes for leaf in leaves)
    folder = tmp_path / "flash"
    shutil.copytree(repository, folder)
    for name in ("kandinsky3", "kandinsky3_inpainting"):
        (folder / f"weights/{name}.pt").unlink()
    flash = described(folder)
    assert classes & set(flash) == {"Kandinsky3FlashPipeline"}
    assert flash["memory"]["resident_bytes"] == found["memory"]["resident_bytes"]
    hub.add("ai-forever/Kandinsky3.1", repository)
    memory = described("ai-forever/Kandinsky3.1")["memory"]
    assert memory["components"] == {}
    assert memory["not_counted"] == dict.fromkeys(
        ("unet", "movq", "text_encoder"), "not on this machine"
    )


@pytest.mark.slow
def test_the_samples_of_the_documentation_run(
    guide_model: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small weights in place of the published ones, and small pictures."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "examples/images", tmp_path / "examples/images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kandinsky_core.pipelines.kandinsky3.decoder._SIDE", 64)
    text = (root / "docs/kandinsky3.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    # The adapters' weights are others; the tests that the page names make their calls.
    blocks = [block for block in found if not re.search("(?i)ip_?adapter|controlnet", block)]
    assert len(blocks) == 4
    small = {
        '"kandinsky-community/kandinsky-3"': repr(str(guide_model)),
        '"ai-forever/Kandinsky3.1"': repr(str(repository)),
        ', variant="fp16"': "",
        "(None, dtype_map)": f"(None, dtype_map, model={str(repository)!r})",
        'of sushi.")': 'of sushi.", width=64, height=64, steps=2)',
    }
    for block in blocks:
        for ours, theirs in small.items():
            block = block.replace(ours, theirs)
        names: dict[str, Any] = {}
        exec(block, names)
        image = names["image"] if "image" in names else names["res"][0]
        assert isinstance(image, Image.Image)
    assert Path("corgi.png").is_file()
