"""What `convention = "authors"` changes in Kandinsky 3's pipelines, on a backend of NumPy."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import (
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    Kandinsky3FlashPipeline,
    Kandinsky3FlashScheduler,
    Kandinsky3InpaintPipeline,
    Kandinsky3Pipeline,
    Kandinsky3Scheduler,
    get_inpainting_pipeline,
    get_T2I_Flash_pipeline,
    get_T2I_pipeline,
)
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky3 import entry_points
from kandinsky_core.pipelines.kandinsky3.conventions import CONVENTIONS
from tests.kandinsky_core.pipelines.test_kandinsky3 import NULL, SIZE, pipeline


def following(convention: str, kind: Any = Kandinsky3Pipeline, **changes: Any) -> Any:
    pipe = pipeline(
        kind, **({"null_embedding": NULL, "scheduler": Kandinsky3Scheduler()} | changes)
    )
    pipe.convention = convention
    return pipe


def test_the_convention_follows_the_weights_and_may_be_set() -> None:
    assert pipeline().convention == "diffusers"
    pipe = pipeline(null_embedding=NULL)
    assert pipe.convention == "mended"
    pipe.convention = "authors"
    with pytest.raises(InvalidInputError, match="convention='mine': choose one of diffusers, men"):
        pipe.convention = "mine"
    pipe.null_embedding = None
    with pytest.raises(InvalidInputError, match="convention='authors' needs the null embedding"):
        pipe("a", **SIZE)
    pipe.null_embedding = NULL
    output = pipe("a", **SIZE, seed=0)
    assert output.metadata[0]["convention"] == "authors"
    other = AutoPipelineForImage2Image.from_pipe(pipe)
    assert other.convention == "authors"
    assert AutoPipelineForText2Image.from_pipe(other).convention == "authors"


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_sampler_computes_in_float32_for_the_authors(convention: str) -> None:
    pipe = following(convention)
    rows = pipe.prepare("a", **SIZE).plan.schedule.rows
    as_authors = convention == "authors"
    expected = Kandinsky3Scheduler(float32_variance=as_authors).schedule(2).rows
    np.testing.assert_array_equal(rows, expected)
    assert pipe.scheduler == Kandinsky3Scheduler(), "the option changes no component"


@pytest.mark.parametrize("kind", [Kandinsky3Pipeline, Kandinsky3FlashPipeline])
def test_sides_are_rounded_down_to_whole_cells_for_the_authors(kind: Any) -> None:
    """A cell has 4 pixels here, 8 in the published models."""
    flash = kind is Kandinsky3FlashPipeline
    scheduler = Kandinsky3FlashScheduler() if flash else Kandinsky3Scheduler()
    pipe = following("authors", kind, scheduler=scheduler)
    plan = pipe.prepare("a", height=19, width=32).plan
    assert (plan.height, plan.width) == (16, 32)
    assert pipe.prepare("a").plan.height == pipe.default_size
    with pytest.raises(InvalidInputError, match="width=3: convention='authors' rounds it down to"):
        pipe("a", width=3)
    with pytest.raises(InvalidInputError, match="height=True"):
        pipe("a", height=True)
    pipe.convention = "mended"
    assert pipe.prepare("a", height=19, width=32).plan.height == 19


def test_pil_pictures_are_truncated_for_the_authors() -> None:
    made = {}
    for convention in ("authors", "mended"):
        pipe = following(convention)
        size = {"height": 16, "width": 16, "num_inference_steps": 2, "seed": 0}
        exact = pipe("a", **size, output_type="np").images[0] * 255
        made[convention] = np.asarray(pipe("a", **size).images[0])
    np.testing.assert_array_equal(made["authors"], np.floor(exact))
    np.testing.assert_array_equal(made["mended"], np.round(exact))
    assert (made["authors"] != made["mended"]).mean() > 0.2


def painted(convention: str, mask: Any, pixels: Any, **request: Any) -> tuple[Any, Any]:
    """Return what the UNet is told of the picture, and the picture."""
    pipe = following(convention, Kandinsky3InpaintPipeline)
    output = pipe("a", image=pixels, mask_image=mask, num_inference_steps=2, seed=0, **request)
    return pipe.unet.told["image_latents"][0], output.images[0]


def test_a_soft_mask_stays_soft_for_the_authors_and_blanks_what_it_touches() -> None:
    """Of two columns of cells one is masked by 0.25, which `mended` takes for 0."""
    pixels = Image.new("RGB", (32, 16), "white")
    soft = np.zeros((16, 32), np.float32)
    soft[:, :8], soft[:, 8:16] = 1, 0.25
    told, _ = painted("authors", soft, pixels)
    assert told[0, 0].tolist() == [0, 0, 0.75, 0.75, 1, 1, 1, 1]
    assert told[1, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    told, _ = painted("mended", soft, pixels)
    assert told[0, 0].tolist() == told[1, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, bool])
def test_masks_of_zero_and_one_mean_the_same_in_every_dtype(dtype: Any) -> None:
    mask = np.zeros((16, 32), dtype)
    mask[:, 8:12] = 1
    told, _ = painted("authors", mask, Image.new("RGB", (32, 16), "white"))
    assert told[0, 0].tolist() == [1, 1, 0, 1, 1, 1, 1, 1]


def test_a_resized_mask_is_soft_at_its_edges_unless_it_is_of_booleans() -> None:
    """A picture of 35 x 20 becomes one of 32 x 16: multiples of 16 here, of 64 as published."""
    mask = np.zeros((20, 35))
    mask[:, 18:] = 1
    pixels = Image.new("RGB", (35, 20), "white")
    told, image = painted("authors", mask, pixels)
    assert image.size == (32, 16)
    place = (16 + 0.5) * 35 / 32 - 0.5  # of column 16 of the result, the first of cell 4
    assert 17 < place < 18
    np.testing.assert_allclose(told[0, 0], [1, 1, 1, 1, 18 - place, 0, 0, 0], atol=1e-6)
    told, _ = painted("authors", mask.astype(bool), pixels)
    assert set(told[0].ravel()) == {0, 1}
    _, image = painted("mended", mask, pixels)
    assert image.size == (35, 20)
    with pytest.raises(InvalidInputError, match="height=12: convention='authors' rounds it down"):
        painted("authors", mask, Image.new("RGB", (35, 12)))
    with pytest.raises(InvalidInputError, match="mask_image 0 is all black: white is repainted"):
        painted("authors", mask * 0, pixels)


def test_kept_pixels_that_are_put_back_are_not_truncated() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    mask = np.zeros((16, 16))
    mask[:8] = 1
    _, image = painted("authors", mask, Image.fromarray(pixels), paste_back=True)
    np.testing.assert_array_equal(np.asarray(image)[8:], pixels[8:])


def test_a_large_picture_is_resized_from_all_its_pixels_for_the_authors() -> None:
    """Where it is more than twice as large, PIL's short cut gives other pixels."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 70, 3), np.uint8))
    seen = {}
    for convention in ("authors", "mended"):
        pipe = following(convention, Kandinsky3InpaintPipeline)
        request = pipe.prepare("a", image, np.ones((70, 70)), 2, height=16, width=16)
        seen[convention] = (request.pixels[0].transpose(1, 2, 0) + 1) * 127.5
    whole = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(seen["authors"], whole, atol=1e-4)
    assert np.abs(seen["mended"] - whole).max() > 1


@pytest.mark.parametrize(
    "load", [get_T2I_pipeline, get_T2I_Flash_pipeline, get_inpainting_pipeline]
)
def test_the_entry_points_take_the_authors_arguments_in_their_order(load: Any) -> None:
    named = list(inspect.signature(load).parameters)
    assert named[:9] == [
        "device_map",
        "dtype_map",
        "low_cpu_mem_usage",
        "load_in_8bit",
        "load_in_4bit",
        "cache_dir",
        "unet_path",
        "text_encoder_path",
        "movq_path",
    ]
    with pytest.raises(InvalidInputError, match="load_in_8bit, load_in_4bit: not supported"):
        load(None, "float32", True, False, True)
    with pytest.raises(InvalidInputError, match="must lie in one folder"):
        load("cpu", "float32", True, False, False, None, "a/unet.pt", None, "b/movq.pt")
    with pytest.raises(InvalidInputError, match="convention='mine'"):
        load(convention="mine")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (
            entry_points.Kandinsky3T2IPipeline,
            "text negative_text images_num bs width height guidance_scale steps eta",
        ),
        (
            entry_points.Kandinsky3InpaintingPipeline,
            "text image mask negative_text images_num bs steps guidance_weight_text eta",
        ),
    ],
)
def test_the_calls_take_the_authors_arguments_in_their_order(made: Any, named: str) -> None:
    assert list(inspect.signature(made.__call__).parameters)[1:10] == named.split()
