"""What upscalers show their UNet, and each fault of the authors' code, on a network of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import (
    DPMSolverMultistepScheduler,
    Kandinsky3FlashPipeline,
    Kandinsky3FlashScheduler,
    get_SR_pipeline,
)
from kandinsky_core.errors import DeviceMemoryError, InvalidInputError
from kandinsky_core.pipelines.super_resolution import flash
from kandinsky_core.pipelines.super_resolution.entry_points import KandiSuperResPipeline
from kandinsky_core.pipelines.super_resolution.flash import KandinskySuperResFlashPipeline
from kandinsky_core.pipelines.super_resolution.pipeline import KandinskySuperResPipeline
from kandinsky_core.pipelines.super_resolution.refining import empty_text
from kandinsky_core.seam.backend import DeviceMemory
from tests.kandinsky_core.pipelines.test_kandinsky3 import pipeline as kandinsky3
from tests.support.fakes import FakeNetwork


class UNet(FakeNetwork):
    """Every step gives the small picture, enlarged; keeps the shapes of the windows."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__(
            scale=scale, sample_size=64, window_stride=0, size_multiple=8, init_channels=8
        )
        self.shapes: list[tuple[int, ...]] = []
        self.first: Any = None

    def begin(self, sample: Any, conditioning: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        self.first = sample
        self.shapes.append(sample.shape)
        return _Run(conditioning["image_latents"])


class _Run:
    def __init__(self, shown: Any) -> None:
        self.shown = shown

    def write(self, sample: Any) -> None:
        pass

    def step(self, timestep: float, row: Any, noise: Any) -> None:
        pass

    def read(self) -> Any:
        return self.shown


def usual(scale: int = 2) -> Any:
    scheduler = DPMSolverMultistepScheduler(prediction_type="sample")
    return quiet(KandinskySuperResPipeline(UNet(scale), scheduler))  # type: ignore[arg-type]


def distilled(refiner: Any = None) -> Any:
    scheduler = Kandinsky3FlashScheduler(beta_schedule="linear", prediction_type="sample")
    return quiet(KandinskySuperResFlashPipeline(UNet(), scheduler, refiner))  # type: ignore[arg-type]


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def picture(height: int, width: int) -> Any:
    return np.random.default_rng(2).random((height, width, 3), np.float32)


@pytest.mark.parametrize(
    ("size", "window", "count"),
    [
        ((10, 12), (24, 24), 1),  # no multiples of 8: filled up, and cut in the end
        ((17, 10), (40, 24), 1),  # stretched to an even side first
        ((33, 40), (64, 64), 4),  # larger than a window on both sides
        ((10, 40), (24, 64), 2),
    ],
)
def test_sides_that_the_original_refuses(
    size: tuple[int, int], window: tuple[int, int], count: int
) -> None:
    upscaler = usual()
    (large,) = upscaler(picture(*size), output_type="np").images
    assert large.shape == (2 * size[0], 2 * size[1], 3)
    assert upscaler.unet.shapes == [(1, 3, *window)] * count


def test_shrunk_again_it_is_the_small_picture() -> None:
    small = picture(9, 8)
    means = {}
    for exact in (False, True):
        (large,) = usual()(small, output_type="np", paste_exact=exact).images
        means[exact] = large.reshape(9, 2, 8, 2, 3).mean(axis=(1, 3))
    off = {exact: np.abs(found - small).mean() for exact, found in means.items()}
    assert off[True] < off[False] / 20, off


def test_flash_refuses_what_the_original_fails_on() -> None:
    with pytest.raises(InvalidInputError, match=r"31 x 40 pixels: Flash takes sides of at least"):
        distilled()(picture(40, 31))
    with pytest.raises(InvalidInputError, match="refine=True: this pipeline has no refiner"):
        distilled()(picture(32, 32), refine=True)
    with pytest.raises(InvalidInputError, match="scale=4: Flash has weights for scale 2 only"):
        get_SR_pipeline(scale=4, flash=True)


def test_flash_takes_a_seed() -> None:
    """The original ignores it, and the steps too: here any other number than 4 is refused."""
    starts = []
    for seed in (None, 0, 1):
        upscaler = distilled()
        output = upscaler(picture(32, 33), seed=seed)
        starts.append(upscaler.unet.first)
        assert output.images[0].size == (66, 64)
    np.testing.assert_array_equal(starts[0], starts[1])
    assert np.abs(starts[1] - starts[2]).max() > 0.1
    with pytest.raises(InvalidInputError, match="takes 4 steps"):
        distilled()(picture(32, 32), num_inference_steps=5)


def test_the_refiner_reads_an_empty_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original reads it from a file of the working directory, which needs CUDA."""
    read: list[Any] = []

    def refined(refiner: Any, pixels: Any, conditioning: Any, noise: Any) -> Any:
        read.append(conditioning)
        return pixels

    monkeypatch.setattr(flash, "refined", refined)
    refiner = kandinsky3(Kandinsky3FlashPipeline, scheduler=Kandinsky3FlashScheduler())
    upscaler = distilled(refiner)
    for _ in range(2):
        upscaler(picture(32, 32))
    assert refiner.text_encoder.calls == 1
    states, mask = read[0]["text_encoder_hidden_states"], read[0]["attention_mask"]
    assert states.shape[:2] == mask.shape == (1, 128)
    assert mask[0].tolist() == [True] + 127 * [False]  # the end of the text
    assert states[0, 0, 0] == 9
    assert not states[0, 1:].any()
    np.testing.assert_array_equal(states, empty_text(refiner)["text_encoder_hidden_states"])


def test_bytes_are_rounded_except_by_the_authors_entry_point() -> None:
    grey = Image.new("RGB", (8, 8), (100, 101, 102))
    upscaler = usual()
    assert upscaler(grey).images[0].getpixel((0, 0)) == (100, 101, 102)
    (values,) = upscaler(grey, output_type="np").images
    expected = tuple((values[0, 0] * 255).astype(np.uint8))
    assert KandiSuperResPipeline(upscaler)(grey).getpixel((0, 0)) == expected


def test_a_window_that_cannot_fit_is_refused_before_the_first_step() -> None:
    upscaler = usual()
    upscaler.unet.device_memory = DeviceMemory(
        device="gpu:0", total=2**18, free=2**18, host=False, filled_by_load=False
    )
    with pytest.raises(DeviceMemoryError, match=r"show it smaller windows \(window_size=\.\.\.\)"):
        upscaler(picture(64, 64), view_batch_size=4)
    assert upscaler.unet.shapes == []
    upscaler(picture(64, 64), window_size=32)
    assert set(upscaler.unet.shapes) == {(1, 3, 32, 32)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": 4}, "this model enlarges 2 times"),
        ({"window_size": 60}, "window_size=60: give a multiple of 8 pixels"),
        ({"window_stride": 65}, "window_stride=65: give at most window_size=64"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"view_batch_size": 0}, "view_batch_size=0"),
        ({"output_type": "latent"}, "output_type='latent'"),
    ],
)
def test_mistakes(changes: dict[str, Any], said: str) -> None:
    upscaler = usual()
    with pytest.raises(InvalidInputError) as raised:
        upscaler(picture(8, 8), **changes)
    assert said in str(raised.value)
    assert upscaler.unet.shapes == []
