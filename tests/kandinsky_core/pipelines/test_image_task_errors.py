"""What a user may do wrong with pictures: a clear error each, before anything heavy starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kandinsky_core as kandinsky
from kandinsky_core import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    KandinskyV22ControlnetPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
    KandinskyV22InpaintPipeline,
)
from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from kandinsky_core.pipelines.shared.decoder import first_step
from tests.support.fakes import (
    SIDE,
    WIDTH,
    combined_pipeline,
    decoder_components,
    emb2emb_pipeline,
    image_pipeline,
)

ONE = np.ones((1, WIDTH), np.float32)
GREY = Image.new("RGB", (16, 16), (128, 128, 128))
WHITE = np.ones((16, 16), np.float32)
BLACK = np.zeros((16, 16), np.float32)
FINE = BLACK.copy()
FINE[1:4, 1:4] = 1  # between the pixels that the latent grid takes
FEW: dict[str, Any] = {"num_inference_steps": 2, "seed": 0}


@pytest.mark.parametrize("size", [(5, 3), (64, 48), (16, 17)])
def test_pictures_masks_and_hints_of_other_sizes_are_resized(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "white")
    mask = Image.new("L", size, 255)
    inpaint, controlnet = image_pipeline("inpaint"), image_pipeline("controlnet")
    request = FEW | {"output_type": "np", "height": 16, "width": 32}
    images = inpaint(ONE, picture, mask, ONE, **request).images
    assert images.shape == (1, 16, 32, 3)
    np.testing.assert_array_equal(inpaint.unet.runs[-1].kept.original, np.ones((1, 4, 4, 8)))
    images = controlnet(ONE, ONE, picture, **request).images
    assert images.shape == (1, 16, 32, 3)
    # eight pixels of a hint for a latent cell, though MoVQ here has four
    np.testing.assert_array_equal(
        controlnet.unet.runs[-1].conditioning["hint"], np.ones((2, 3, 32, 64))
    )


def test_hint_follows_the_picture_where_its_size_is_no_multiple() -> None:
    pipe = image_pipeline("controlnet")
    hint = np.zeros((10, 10, 3), np.float32)
    hint[:, 5:] = 1
    pipe(ONE, ONE, hint, height=20, width=20, **FEW)  # 8 latent cells, 5 of them of the picture
    got = pipe.unet.runs[-1].conditioning["hint"][0, 0]
    assert got.shape == (64, 64)
    assert (got[:, :17] < 0.2).all()
    assert (got[:, 23:] > 0.8).all(), "behind the edge its last pixels are repeated"


def test_white_mask_repaints_all() -> None:
    pipe = image_pipeline("inpaint")
    request = FEW | {"output_type": "np"}
    first = pipe(ONE, GREY, WHITE, ONE, **request).images
    run = pipe.unet.runs[-1]
    assert not run.kept.mask.any()
    assert not run.conditioning["image_latents"].any()
    other = Image.new("RGB", (16, 16), "white")
    np.testing.assert_array_equal(pipe(ONE, other, WHITE, ONE, **request).images, first)
    pasted = pipe(ONE, other, WHITE, ONE, paste_back=True, **request).images
    np.testing.assert_array_equal(pasted, first)


def test_kept_pixels_are_pasted_back_exactly() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (19, 30, 3), np.uint8)) for _ in range(2)]
    masks = [rng.random((19, 30)) < 0.5 for _ in range(2)]
    pipe = image_pipeline("inpaint")
    request = FEW | {"height": 19, "width": 30, "num_images_per_prompt": 2}
    request |= {"image": pictures, "mask_image": masks, "negative_image_embeds": [ONE, ONE]}
    images = pipe([ONE, ONE], paste_back=True, **request).images
    plain = pipe([ONE, ONE], **request).images
    for number, (image, without) in enumerate(zip(images, plain, strict=True)):
        mask, before = masks[number // 2], np.asarray(pictures[number // 2])
        np.testing.assert_array_equal(np.asarray(image)[~mask], before[~mask])
        np.testing.assert_array_equal(np.asarray(image)[mask], np.asarray(without)[mask])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mask_image": BLACK}, "mask_image 0 has no white pixel; white is repainted"),
        ({"mask_image": [WHITE, BLACK]}, "mask_image 1 has no white pixel"),
        ({"mask_image": FINE}, "mask_image 0 has no white pixel on the grid of 4 .* too fine"),
        ({"mask_image": None}, "mask_image is missing"),
        ({"mask_image": [WHITE] * 3}, "mask_image holds 3 pictures for 1 to make"),
        ({"image": [GREY, GREY]}, "image holds 2 pictures for 1 to make"),
        ({"image": None}, "image is missing"),
        ({"image": "cat.png"}, "open it with load_image first"),
        ({"image": np.zeros((1, 4, 4, 4), np.float32)}, "image holds latents"),
        ({"image": np.full((16, 16, 3), np.nan)}, "nan"),
        ({"paste_back": True, "output_type": "latent"}, "paste_back works on pixels"),
        ({"negative_image_embeds": None}, "negative_image_embeds is missing"),
        ({"image_embeds": np.ones((1, 3))}, r"image_embeds has shape \(1, 3\)"),
        ({"latents": np.zeros((1, 4, 4, 5))}, r"latents has shape \(1, 4, 4, 5\)"),
        ({"seed": [1, 2]}, "seed has 2 entries for 1 images"),
        ({"height": 0}, "height=0"),
        ({"callback_on_step_end_tensor_inputs": ["hint"]}, "choose from latents, image_embeds"),
    ],
)
def test_inpainting_refuses(changed: dict[str, Any], message: str) -> None:
    pipe = image_pipeline("inpaint")
    request: dict[str, Any] = {"image_embeds": ONE, "negative_image_embeds": ONE, "seed": 0}
    request |= {"image": GREY, "mask_image": WHITE}
    with pytest.raises(InvalidInputError, match=message):
        pipe(**(request | changed))
    assert not pipe.unet.runs


@pytest.mark.parametrize("task", ["controlnet", "controlnet img2img"])
@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (None, "hint is missing"),
        ([GREY, GREY], "hint holds 2 pictures for 1 to make"),
        ("depth.png", "open it with load_image first"),
        (np.full((16, 16), np.inf), "hint holds values"),
    ],
)
def test_hints_that_are_refused(task: str, hint: Any, message: str) -> None:
    pipe = image_pipeline(task)
    image = {"image": GREY} if "img2img" in task else {}
    with pytest.raises(InvalidInputError, match=message):
        pipe(ONE, negative_image_embeds=ONE, hint=hint, **image)
    assert not pipe.unet.runs


@pytest.mark.parametrize("strength", [0, -0.1, 1.01, float("nan"), "much", None, True])
def test_strength_outside_its_range(strength: Any) -> None:
    with pytest.raises(InvalidInputError, match="strength="):
        image_pipeline("img2img")(ONE, GREY, ONE, strength=strength)
    with pytest.raises(InvalidInputError, match="strength="):
        emb2emb_pipeline()("a", GREY, strength=strength)


def test_strength_that_leaves_no_step() -> None:
    pipe = image_pipeline("controlnet img2img")
    with pytest.raises(InvalidInputError, match=r"leaves none to take: .* num_inference_steps=4"):
        pipe(ONE, GREY, ONE, GREY, strength=0.3, num_inference_steps=3)
    assert len(pipe(ONE, GREY, ONE, GREY, strength=0.3, num_inference_steps=4).images) == 1
    assert len(pipe.unet.runs[-1].timesteps) == 1


@given(st.floats(0, 1, exclude_min=True), st.integers(1, 1000))
def test_first_step_is_that_of_the_reference_or_refused(strength: float, steps: int) -> None:
    taken = min(int(steps * strength), steps)
    if taken:
        assert first_step(strength, steps) == steps - taken
    else:
        with pytest.raises(InvalidInputError):
            first_step(strength, steps)


def test_wrong_image_batches_and_latents_of_image_to_image() -> None:
    pipe = image_pipeline("img2img")
    with pytest.raises(InvalidInputError, match="image holds 3 pictures for 4 to make"):
        pipe([ONE, ONE], [GREY] * 3, [ONE, ONE], num_images_per_prompt=2)
    with pytest.raises(InvalidInputError, match=r"image \(as latents\) has shape \(1, 4, 4, 5\)"):
        pipe(ONE, np.zeros((1, 4, 4, 5), np.float32), ONE)


@pytest.mark.parametrize(
    ("pipeline_class", "arguments"),
    [
        (KandinskyV22Img2ImgCombinedPipeline, 1),
        (KandinskyV22InpaintCombinedPipeline, 2),
    ],
)
def test_text_alone_is_no_request_of_an_image_task(pipeline_class: Any, arguments: int) -> None:
    """Left out, Python says what is missing, as for diffusers; None, the library."""
    pipe = combined_pipeline(pipeline_class)
    with pytest.raises(TypeError, match=r"missing .* required positional argument.*'image'"):
        pipe("a cat")
    with pytest.raises(InvalidInputError, match="image is missing: give a PIL picture"):
        pipe("a cat", *[None] * arguments)
    assert not pipe.prior_pipe.prior.runs


def test_combined_pipelines_refuse_before_the_prior_runs() -> None:
    img2img = combined_pipeline(KandinskyV22Img2ImgCombinedPipeline)
    inpaint = combined_pipeline(KandinskyV22InpaintCombinedPipeline)
    for pipe, arguments, wrong in (
        (img2img, [GREY], {"strength": 2}),
        (img2img, [[GREY, GREY]], {}),
        (img2img, [GREY], {"output_type": "jpg"}),
        (inpaint, [GREY, BLACK], {}),
        (inpaint, [GREY, [WHITE, WHITE]], {}),
        (inpaint, [GREY, WHITE], {"paste_back": True, "output_type": "latent"}),
        (inpaint, [GREY, WHITE], {"callback_on_step_end_tensor_inputs": ["mask"]}),
    ):
        with pytest.raises(InvalidInputError):
            pipe("a cat", *arguments, **wrong)
    assert not img2img.prior_pipe.prior.runs
    assert not inpaint.prior_pipe.prior.runs


@pytest.mark.parametrize("make", [emb2emb_pipeline, lambda: combined_pipeline().prior_pipe])
@pytest.mark.parametrize(
    ("items", "weights", "message"),
    [
        (["a", GREY], [1.0], "2 items but 1 weights"),
        (["a"], [0.5, 0.5], "1 items but 2 weights"),
        (["a"], ["much"], "weights='much': give a number"),
        (["a"], [float("nan")], "give a finite number"),
        (["a", "b"], 1.0, "2 items but 1 weights: give a list"),
        ([], [], "at least one"),
        ("a cat", [1.0], "give a list of texts and pictures"),
        ([None], [1.0], "images_and_prompts"),
        ([np.ones((2, 3, SIDE, SIDE), np.float32)], [1.0], "a batch of pictures: give one an item"),
        ([np.ones((1, 3, 5, 5), np.float32)], [1.0], r"shape \(1, 3, 5, 5\)"),
    ],
)
def test_interpolation_refuses(make: Any, items: Any, weights: Any, message: str) -> None:
    pipe = make()
    with pytest.raises(InvalidInputError, match=message):
        pipe.interpolate(items, weights, seed=0)
    assert not pipe.prior.runs


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "image"),
        ([], "image"),
        ("cat.png", "image"),
        ([GREY, GREY], "image holds 2 pictures for 1 to make"),
        (np.ones((1, WIDTH + 1), np.float32), r"image \(as embeddings\) has shape"),
    ],
)
def test_emb2emb_refuses(image: Any, message: str) -> None:
    pipe = emb2emb_pipeline()
    with pytest.raises(InvalidInputError, match=message):
        pipe("a cat", image, seed=0)
    assert not pipe.prior.runs


def test_constructors_refuse_the_unet_of_another_task() -> None:
    with pytest.raises(
        ConfigError, match=r"needs the UNet of KandinskyV22InpaintPipeline.*4 input"
    ):
        KandinskyV22InpaintPipeline(**decoder_components())
    with pytest.raises(ConfigError, match=r"one of KandinskyV22InpaintPipeline.*9 input"):
        KandinskyV22ControlnetPipeline(**decoder_components(in_channels=9))


@pytest.mark.parametrize(
    ("task", "half"),
    [
        ("KandinskyV22InpaintPipeline", "decoder"),
        ("KandinskyV22InpaintPipeline", "controlnet"),
        ("KandinskyV22ControlnetPipeline", "decoder"),
        ("KandinskyV22ControlnetImg2ImgPipeline", "inpaint"),
        ("KandinskyV22Pipeline", "inpaint"),
        ("KandinskyV22Img2ImgPipeline", "controlnet"),
    ],
)
def test_loading_another_tasks_decoder_fails_before_weights_are_read(
    model: Path, task: str, half: str
) -> None:
    for file in (model / half).rglob("*.safetensors"):
        file.write_bytes(b"not to be read")
    with pytest.raises(ConfigError, match=f"{task} needs the UNet of"):
        getattr(kandinsky, task).from_pretrained(model / half)


def test_auto_pipelines_refuse_other_tasks(model: Path) -> None:
    for auto, half in (
        (AutoPipelineForInpainting, "decoder"),
        (AutoPipelineForInpainting, "controlnet"),
        (AutoPipelineForImage2Image, "inpaint"),
        (AutoPipelineForImage2Image, "prior"),
    ):
        found = json.loads((model / half / "model_index.json").read_text("utf-8"))["_class_name"]
        with pytest.raises(CheckpointError, match=f"is a {found}, which makes no pictures"):
            auto.from_pretrained(model / half)


def test_auto_pipelines_share_networks_or_refuse() -> None:
    text = combined_pipeline()
    again = AutoPipelineForImage2Image.from_pipe(text)
    assert isinstance(again, KandinskyV22Img2ImgCombinedPipeline)
    assert again.unet is text.unet
    assert again.prior_pipe.prior is text.prior_pipe.prior
    with pytest.raises(ConfigError, match="KandinskyV22InpaintPipeline"):
        AutoPipelineForInpainting.from_pipe(text)
    with pytest.raises(InvalidInputError, match=r"Img2ImgPipeline has no prior_prior, .*prior="):
        AutoPipelineForImage2Image.from_pipe(image_pipeline("img2img"))
