"""KandiSuperRes against numbers of the authors' own code: networks, loops, whole pictures."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from kandinsky_cli.model_parts import open_parts
from kandinsky_converters.convert import convert
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.originals import kandinsky3, super_resolution
from kandinsky_core import DPMSolverMultistepScheduler, Kandinsky3FlashScheduler
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.configs import VQModelConfig
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.super_resolution import flash, refining
from kandinsky_core.pipelines.super_resolution.flash import KandinskySuperResFlashPipeline
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.pipelines.super_resolution.refining import Tiles, refined
from kandinsky_core.schedulers.schedule import make_rows
from tests.support.backends import BACKENDS, all_on_jax, needs
from tests.support.dict_tensors import DictTensors
from tests.support.superres_refiner import REFINERS
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)
GOLDEN = Path(__file__).parents[1] / "data" / "superres"
UNET = {
    "_class_name": "KandinskySuperResUNet",
    "scale": 2,
    "init_channels": 8,
    "block_out_channels": [8, 16, 24, 32],
    "layers_per_block": [2, 3, 2, 4],
    "time_embedding_dim": 16,
    "groups": 4,
}
# The files say nothing of the number of groups, which is 32 as published.
PUBLISHED_LIKE = {
    "in_channels": 6,
    "out_channels": 3,
    "init_channels": 32,
    "block_out_channels": [32, 64, 32, 96],
    "layers_per_block": [2, 2, 3, 2],
    "time_embedding_dim": 16,
}
MOVQ = {
    "_class_name": "VQModel",
    "block_out_channels": [32] * 4,
    "down_block_types": [*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"],
    "up_block_types": ["AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "norm_type": "spatial",
    "num_vq_embeddings": 16,
    "vq_embed_dim": 4,
}


def golden(name: str) -> dict[str, Array]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def weights(name: str, rule: Callable[[str], Iterator[Any]]) -> dict[str, Array]:
    """The original's tensors under the names of this library."""
    stored = load_file(GOLDEN / f"{name}.safetensors")
    return {
        target: piece.values(stored[source], 8)
        for source in stored
        for target, piece in rule(source)
    }


def original_name(name: str) -> str:
    """The original's name of a tensor."""
    outer = {new: old for old, new in super_resolution.LAYERS.items()}
    inner = {new: old for old, new in super_resolution.BLOCK_LAYERS.items()}
    layer, _, leaf = name.rpartition(".")
    if layer in outer:
        return f"{outer[layer]}.{leaf}"
    side, level, _, number, within = layer.split(".")
    place = f"{side.removesuffix('_blocks')}_samples.{level}.resnet_attn_blocks.{number}.0"
    return f"{place}.{inner[within]}.{leaf}"


def source(config: dict[str, Any], tensors: dict[str, Array]) -> Any:
    return SimpleNamespace(
        class_name=config["_class_name"], config=config, tensors=lambda: DictTensors(tensors)
    )


@pytest.fixture(scope="module")
def upscaler(backend_of: Callable[[str], Any]) -> Callable[..., KandinskySuperResPipeline]:
    """Pipelines of the small UNet, which a backend loads once."""
    tensors = weights("unet", super_resolution.unet)
    loaded: dict[str, Any] = {}

    def make(backend: str, scale: int) -> KandinskySuperResPipeline:
        if backend not in loaded:
            loaded[backend] = backend_of(backend).load(source(UNET, tensors), "float32")
        unet = loaded[backend]
        unet.config = dataclasses.replace(unet.config, scale=scale)
        scheduler = DPMSolverMultistepScheduler(prediction_type="sample")
        pipeline = KandinskySuperResPipeline(unet=unet, scheduler=scheduler)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return make


@pytest.mark.parametrize("backend", BACKENDS)
def test_network(upscaler: Callable[..., Any], backend: str) -> None:
    """One row at a time, as all rows of a step have one timestep."""
    wanted = golden("unet")
    row = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
    unet = upscaler(backend, 2).unet
    for index, timestep in enumerate(wanted["time"]):
        part = slice(index, index + 1)
        run = unet.begin(wanted["sample"][part], {"image_latents": wanted["lowres_same"][part]}, 1)
        run.step(float(timestep), row, None)
        np.testing.assert_array_equal(run.predicted(), run.read())  # this row takes it as it is
        error = np.linalg.norm(run.read() - wanted["output_same"][part])
        error /= np.linalg.norm(wanted["output_same"][part])
        LOG.info("%s, t=%g: %.2g", backend, timestep, error)
        assert error <= allowed("super resolution unet")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["x4_odd"])
def test_windows_on_both_backends(upscaler: Callable[..., Any], backend: str, name: str) -> None:
    check_picture(upscaler(backend, int(name[1])), name)


@needs("jax")
@pytest.mark.parametrize("name", ["x2", "x4", "x2_one_window", "x2_uneven"])
def test_pictures(upscaler: Callable[..., Any], name: str) -> None:
    """Seed 0, steps and step size are the original's; the windows are smaller."""
    check_picture(upscaler("jax", int(name[1])), name)


def check_picture(pipeline: KandinskySuperResPipeline, name: str) -> None:
    wanted = golden(name)
    steps: list[Array] = []

    def keep(_: Any, index: int, timestep: int, values: dict[str, Array]) -> None:
        steps.append(values["latents"])
        if "timesteps" in wanted:
            assert timestep == wanted["timesteps"][index]

    (found,) = pipeline(
        wanted["picture"],
        window_size=32,
        window_stride=24,
        output_type="np",
        callback_on_step_end=keep,
    ).images
    for step, latents in zip(steps, wanted.get("latents", ()), strict=False):
        assert np.abs(step[0] - latents).max() <= allowed("super resolution latents")
    difference = np.abs(found.transpose(2, 0, 1) - wanted["result"]).max()
    LOG.info("%s: %.2g", name, difference)
    assert difference <= allowed("super resolution picture")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("part", "file", "scale"),
    [("upscaler", "KandiSuperRes.ckpt", 4), ("upscaler_x2", "KandiSuperRes_x2.ckpt", 2)],
)
def test_the_original_files_load_as_they_are(
    tmp_path: Path, backend: str, part: str, file: str, scale: int
) -> None:
    """The file of scale 4 keeps its UNet under a name; converted and saved, all is the same."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    shapes = expected_tensors("KandinskySuperResUNet", PUBLISHED_LIKE)
    tensors = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    state = {original_name(name): torch.from_numpy(array) for name, array in tensors.items()}
    torch.save({"unet": state} if scale == 4 else state, tmp_path / file)
    load = functools.partial(
        KandinskySuperResPipeline.from_pretrained, backend=backend, scale=scale
    )
    pipe = load(tmp_path)
    assert pipe.unet.config.scale == scale
    assert pipe.unet.config.layers_per_block == (2, 2, 3, 2)
    (shown,) = open_parts(str(tmp_path), HubOptions())
    assert shown.components["unet"].config["scale"] == scale
    convert(tmp_path, backend, tmp_path / "converted", part=part)
    pipe.save_pretrained(tmp_path / "saved")
    for folder in ("converted", "saved"):
        again = load(tmp_path / folder)
        assert again.unet.config == pipe.unet.config
        assert type(again.scheduler) is DPMSolverMultistepScheduler
        assert again.scheduler.prediction_type == "sample"
        for name, array in again.unet.read_weights(tensors).items():
            np.testing.assert_array_equal(array, tensors[name])
    with pytest.raises(InvalidInputError, match=f"enlarges {scale} times"):
        load(tmp_path / "saved", scale=6 - scale)


@needs("jax")
def test_windows_in_larger_batches(upscaler: Callable[..., Any]) -> None:
    """Five of nine windows at once: the second batch is filled up."""
    wanted = golden("x2_uneven")
    options = {"window_size": 32, "window_stride": 24, "output_type": "np"}
    (found,) = upscaler("jax", 2)(wanted["picture"], view_batch_size=5, **options).images
    difference = np.abs(found.transpose(2, 0, 1) - wanted["result"]).max()
    assert difference <= allowed("super resolution picture")


@needs("jax")
def test_twenty_sizes_are_one_program(upscaler: Callable[..., Any]) -> None:
    pipeline = upscaler("jax", 4)
    log = pipeline.unet.compilations
    before = len(log)
    rng = np.random.default_rng(5)
    for number in range(20):
        picture = rng.random((8 + number % 7, 8 + number % 11, 3), np.float32)
        (large,) = pipeline(
            picture, num_inference_steps=1, window_size=32, window_stride=24, output_type="np"
        ).images
        assert large.shape == (4 * picture.shape[0], 4 * picture.shape[1], 3)
    made = [entry.program for entry in log[before:]]
    assert len(made) == len(set(made))  # none, where another test has had windows of this size


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_in_a_list(upscaler: Callable[..., Any], backend: str) -> None:
    """Each is what it is alone; transparency is enlarged as a picture of its own."""
    rng = np.random.default_rng(6)
    colours = rng.integers(0, 256, (9, 8, 4), np.uint8)
    pictures = [Image.fromarray(colours[:8, :, :3]), Image.fromarray(colours)]
    call = functools.partial(
        upscaler(backend, 4), num_inference_steps=1, window_size=32, window_stride=24
    )
    together = call(pictures, seed=[3, 4]).images
    assert [image.mode for image in together] == ["RGB", "RGBA"]
    for seed, picture, large in zip((3, 4), pictures, together, strict=True):
        assert large.size == (4 * picture.width, 4 * picture.height)
        np.testing.assert_array_equal(call(picture, seed=seed).images[0], large)
    alpha = Image.fromarray(colours[..., 3]).resize((32, 36), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(together[1].getchannel("A"), alpha)


@pytest.fixture(scope="module")
def refiner() -> Callable[[str], Any]:
    """The original's small UNet by a backend's name, its small MoVQ and its scheduler."""
    scheduler, movq = Kandinsky3FlashScheduler(), small_movq()
    tensors = weights("refiner", kandinsky3.unet)

    @functools.cache
    def find(backend: str) -> Any:
        return SimpleNamespace(unet=REFINERS[backend](tensors), movq=movq, scheduler=scheduler)

    return find


def small_movq() -> Any:
    """The original's small MoVQ, by PyTorch: its tiles have many shapes, and core cuts them."""
    import diffusers
    import torch

    from kandinsky_reference.components import TorchAutoencoder

    network = diffusers.VQModel.from_config(MOVQ).eval()
    tensors = weights("movq", kandinsky3.movq)
    state = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
    lacking = network.load_state_dict(state, strict=False)
    assert lacking == (["quantize.embedding.weight"], [])
    return TorchAutoencoder(network, VQModelConfig.from_dict(MOVQ))


def empty_text() -> dict[str, Array]:
    tiles = golden("refine_tiles")
    return {
        "text_encoder_hidden_states": tiles["context"],
        "attention_mask": tiles["context_mask"].astype(bool),
    }


def test_autoencoder_in_tiles() -> None:
    wanted, movq = golden("movq_tiles"), small_movq()
    latent = refining._encoded(movq, wanted["pixels"], 64)
    decoded = refining._decoded(movq, wanted["latent"], 8)
    assert np.abs(latent - wanted["latent"]).max() <= allowed("super resolution movq")
    assert np.abs(decoded - wanted["decoded"]).max() <= allowed("super resolution movq")
    whole = movq.decode(wanted["latent"])[..., ::4, ::4]
    assert np.abs(whole - wanted["decoded_whole"]).max() <= allowed("super resolution movq")


@needs("mindspore")
@pytest.mark.slow(seconds=10)
def test_refining_in_tiles(refiner: Callable[..., Any]) -> None:
    """Each tile draws its own noise, also where tiles overlap; the last ones are narrow.

    Core cuts the tiles. JAX would compile a program for each of their four sizes.
    """
    wanted = golden("refine_tiles")
    noise = iter([wanted[f"noise_{number}"] for number in range(6)])
    found = refining.refined_latents(
        refiner("mindspore"), wanted["latent"], empty_text(), lambda shape: next(noise), 32
    )
    difference = np.abs(found - wanted["output"]).max()
    LOG.info("%.2g", difference)
    assert difference <= allowed("super resolution latents")


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize(
    ("backend", "name"), all_on_jax(["flash_x2", "flash_x2_refined"], "flash_x2_refined")
)
def test_flash(
    upscaler: Callable[..., Any],
    refiner: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    name: str,
) -> None:
    """One generator draws five times, and once more for each tile of the refiner."""
    monkeypatch.setattr(flash, "refined", lambda *given: refined(*given, Tiles(64, 32)))
    monkeypatch.setattr(flash, "empty_text", lambda pipeline: empty_text())
    wanted = golden(name)
    scheduler = Kandinsky3FlashScheduler(beta_schedule="linear", prediction_type="sample")
    seed, second = (16, refiner(backend)) if "refined" in name else (6, None)
    pipeline = KandinskySuperResFlashPipeline(upscaler(backend, 2).unet, scheduler, second)
    (found,) = pipeline(wanted["picture"], seed=seed, output_type="np").images
    difference = np.abs(found.transpose(2, 0, 1) - wanted["result"]).max()
    LOG.info("%s, %s: %.2g", backend, name, difference)
    assert difference <= allowed("super resolution picture")
