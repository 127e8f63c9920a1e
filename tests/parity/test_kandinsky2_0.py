"""Kandinsky 2.0 against numbers of the authors' own code: networks, loops, pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from kandinsky_core import (
    Kandinsky20Img2ImgPipeline,
    Kandinsky20InpaintPipeline,
    Kandinsky20Pipeline,
    Kandinsky20Scheduler,
)
from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky2_0 import decoder as kandinsky2_0_decoder
from kandinsky_core.pipelines.shared import decoder as shared_decoder
from kandinsky_core.pipelines.shared import image_to_image
from tests.support.backends import BACKENDS
from tests.support.kandinsky2_0 import golden, source
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)
LOADED = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def network(backend_of: Callable[[str], Any]) -> Callable[[str, str], Any]:
    """Networks of both backends; each is loaded once."""
    return cache(lambda backend, name: backend_of(backend).load(source(name), "float32"))


def relative(found: Array, wanted: Array) -> float:
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def conditioning(**others: Array) -> dict[str, Array]:
    """The conditioning of the numbers, whose conditional row comes first."""
    text = golden("text")
    return {
        "text_embeds": text["pooled_emb1"],
        "text_encoder_hidden_states": text["full_emb1"],
        "text_encoder_hidden_states_2": text["full_emb2"],
        **others,
    }


@LOADED
def test_text_encoders(network: Callable[..., Any], backend: str) -> None:
    wanted = golden("text")
    first, second = (network(backend, name) for name in ("text_encoder", "text_encoder_2"))
    embeds, states = first.encode(wanted["ids1"], wanted["mask1"].astype(bool))
    others = second.encode(wanted["ids2"], wanted["mask2"].astype(bool))
    for found, name in ((embeds, "pooled_emb1"), (states, "full_emb1"), (others, "full_emb2")):
        error = relative(found, wanted[name])
        LOG.info("%s, %s: %.2g", backend, name, error)
        assert error <= allowed("2.0 text")


@LOADED
@pytest.mark.parametrize("name", ["unet", "inpaint"])
def test_unet(network: Callable[..., Any], backend: str, name: str) -> None:
    """Noise and variance; both rows have one timestep."""
    wanted = golden("unet" if name == "unet" else "unet_inpainting")
    others = {}
    if name == "inpaint":
        mask = wanted["mask_latent"]
        others["image_latents"] = np.concatenate([wanted["image_latent"] * mask, mask], axis=1)
    unet = network(backend, name)
    found = unet.output(wanted["x"], float(wanted["timesteps"][0]), conditioning(**others))
    error = relative(found, wanted["out"])
    LOG.info("%s, %s: %.2g", backend, name, error)
    assert error <= allowed("2.0 unet")


@LOADED
def test_autoencoder(network: Callable[..., Any], backend: str) -> None:
    wanted, vae = golden("vae"), network(backend, "vae")
    pixels = wanted["image_uint8"].transpose(2, 0, 1)[None] / np.float32(127.5) - 1
    mean, logvar = np.split(vae.encode(pixels.astype(np.float32)), 2, axis=1)
    decoded = vae.decode(wanted["latent"] / np.float32(0.0512))
    for found, name in ((mean, "mean"), (logvar, "logvar"), (decoded, "decoded")):
        error = relative(found, wanted[name])
        LOG.info("%s, %s: %.2g", backend, name, error)
        assert error <= allowed("2.0 vae")


class GoldenTokenizer:
    """Gives the ids of the numbers: row 0 for a prompt, row 1 for the empty one."""

    def __init__(self, number: int) -> None:
        text = golden("text")
        self.ids, self.mask = text[f"ids{number}"], text[f"mask{number}"].astype(bool)

    def __call__(self, texts: list[str]) -> tuple[Array, Array]:
        rows = [0 if text else 1 for text in texts]
        return self.ids[rows], self.mask[rows]


Make = Callable[..., Any]


@pytest.fixture(scope="module")
def pipeline(network: Callable[..., Any]) -> Make:
    """Pipelines of the small model, with one of its samplers."""

    def make(task: Any, backend: str, **sampler: Any) -> Any:
        unet = "inpaint" if task is Kandinsky20InpaintPipeline else "unet"
        pipe = task(
            *(network(backend, "text_encoder"), GoldenTokenizer(1)),
            *(network(backend, "text_encoder_2"), GoldenTokenizer(2)),
            unet=network(backend, unet),
            scheduler=Kandinsky20Scheduler(**sampler),
            vae=network(backend, "vae"),
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the noise of the numbers to the next call, in the order of the original's draws."""

    def use(*arrays: Array) -> None:
        rest = iter(arrays)

        def draw(_: Any, shape: tuple[int, ...]) -> Array:
            array = next(rest)
            assert array.shape == shape
            return array

        for module in (shared_decoder, kandinsky2_0_decoder, image_to_image):
            monkeypatch.setattr(module, "draw_normal", draw)

    return use


def run(pipe: Any, steps: int, **inputs: Any) -> tuple[list[Array], Array, list[float]]:
    """The latents after each step, the last ones, and the timesteps."""
    after: list[Array] = []
    times: list[float] = []

    def keep(_: Any, index: int, timestep: int, values: dict[str, Array]) -> None:
        after.append(values["latents"])
        times.append(timestep)

    options = {"guidance_scale": 10.0, "output_type": "latent", "num_inference_steps": steps}
    found = pipe("a cat", callback_on_step_end=keep, **{**options, **inputs}).images
    return after, found, times


def check(steps: list[Array], wanted: Array, name: str) -> None:
    """Compare the conditional rows; values grow with the noise that a step divides by."""
    assert len(steps) == len(wanted)
    for index, (found, expected) in enumerate(zip(steps, wanted, strict=True)):
        error = np.abs(found - expected[:1]).max() / max(1.0, np.abs(wanted).max())
        LOG.info("%s, step %d: %.2g", name, index, error)
        assert error <= allowed("2.0 latents")


TEXT = Kandinsky20Pipeline


@pytest.mark.slow(seconds=8)
@LOADED
@pytest.mark.parametrize("eta", [0.0, 0.05, 1.0])
def test_text_to_image(pipeline: Make, draws: Make, backend: str, eta: float) -> None:
    wanted, tag = golden("ddim_t2i"), f"eta{eta}".replace(".", "p")
    if eta:
        draws(*wanted["noise"][:, :1])
    pipe = pipeline(TEXT, backend, eta=eta)
    found, last, times = run(pipe, 4, latents=wanted["x_T"][:1])
    assert times == list(wanted["timesteps"])
    check(found, wanted[f"{tag}_x"], f"{backend}, eta {eta}")
    if eta == 0.05:
        (picture,) = golden("ddim_t2i_image")["image_uint8"]
        pixels = pipe.decode_latents(last)[0].transpose(1, 2, 0).clip(-1, 1)
        assert np.abs((pixels + 1) / 2 - picture / 255).max() <= 0.5 / 255 + 1e-3


@pytest.mark.slow(seconds=8)
@LOADED
@pytest.mark.parametrize(
    ("sampler", "file"), [("first-release", "ddim_first_release"), ("ddpm", "p_sampler")]
)
def test_other_samplers(pipeline: Make, draws: Make, backend: str, sampler: str, file: str) -> None:
    wanted = golden(file)
    draws(*wanted["noise"][:, :1])
    pipe = pipeline(TEXT, backend, sampler=sampler)
    found, _, times = run(pipe, 4, latents=wanted["x_T"][:1])
    assert times == list(wanted["timestep_map"][::-1])
    check(found, wanted["t2i_x"], f"{backend}, {sampler}")


@pytest.mark.slow(seconds=6)
@LOADED
@pytest.mark.parametrize("sampler", ["current", "first-release"])
def test_image_to_image(pipeline: Make, draws: Make, backend: str, sampler: str) -> None:
    """The present code noises to timestep 299 and begins at 201, the first release at 201."""
    ddim, vae = golden("ddim_img2img"), golden("vae")
    first = golden("ddim_first_release")
    wanted, noise = ddim["x"], ddim["noise"]
    if sampler == "first-release":
        wanted, noise = first["img2img_x"], first["noise"][:3]
    draws(vae["noise"], ddim["start_noise"], *noise[:, :1])
    pipe = pipeline(Kandinsky20Img2ImgPipeline, backend, sampler=sampler, eta=0.05)
    picture, strength = vae["image_uint8"], 1 - float(ddim["strength"])
    found, _, times = run(pipe, int(ddim["num_steps"]), image=picture, strength=strength)
    assert times == list(ddim["timesteps"])
    check(found, wanted, f"{backend}, image to image, {sampler}")


@pytest.mark.slow(seconds=12)
@LOADED
@pytest.mark.parametrize(
    ("sampler", "file", "array"),
    [
        ("current", "ddim_inpainting", "x"),
        ("first-release", "ddim_first_release", "inpainting_x"),
        ("ddpm", "p_sampler", "inpainting_x"),
    ],
)
def test_inpainting(
    pipeline: Make, draws: Make, backend: str, sampler: str, file: str, array: str
) -> None:
    """The original's mask is 1 where the picture is kept."""
    wanted, given = golden(file), golden("unet_inpainting")
    draws(*wanted["noise"][:, :1])
    eta = {"eta": 0.05} if sampler == "current" else {}
    pipe = pipeline(Kandinsky20InpaintPipeline, backend, sampler=sampler, **eta)
    pipe._latents = lambda request: given["image_latent"][:1]  # those of no picture
    picture, mask = np.zeros((64, 64, 3), np.uint8), 1 - given["mask_pixels"]
    inputs = {"image": picture, "mask_image": mask, "latents": wanted["x_T"][:1]}
    found, _, _ = run(pipe, 4, **inputs)
    check(found, wanted[array], f"{backend}, inpainting, {sampler}")
