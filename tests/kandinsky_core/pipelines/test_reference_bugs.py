"""Known bugs and surprises of the reference, one test a row of the project's list of them.

"Fixed" are plain defects; "kept" is what default pictures depend on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import (
    DDPMScheduler,
    Generator,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)
from kandinsky_core.arrays import FloatArray
from kandinsky_core.pipelines.shared.inpainting import keep_mask
from kandinsky_core.seam.step_rules import StepRule
from tests.support.fakes import SIDE, WIDTH, combined_pipeline, emb2emb_pipeline, image_pipeline

ONE = np.ones((1, WIDTH), np.float32)
GREY = Image.new("RGB", (16, 16), (128, 128, 128))
RIGHT = np.zeros((16, 16), np.float32)
RIGHT[:, 8:] = 1


def inputs_of(task: str) -> dict[str, Any]:
    """What a task takes beside embeddings."""
    return {
        "decoder": {},
        "img2img": {"image": GREY, "strength": 1},
        "inpaint": {"image": GREY, "mask_image": RIGHT},
        "controlnet": {"hint": GREY},
        "controlnet img2img": {"image": GREY, "hint": GREY, "strength": 1},
    }[task]


def draw(pipe: Any, task: str, embeds: FloatArray = ONE, **options: Any) -> Any:
    """Two steps, as an array."""
    request = {"num_inference_steps": 2, "output_type": "np", "seed": 0, **inputs_of(task)}
    request |= {"negative_image_embeds": np.zeros_like(embeds)} | options
    return pipe(embeds, **request).images


ALL = ["decoder", "img2img", "inpaint", "controlnet", "controlnet img2img"]


def test_bug_1_kept_learned_variance_is_dropped_unless_the_scheduler_uses_it() -> None:
    pipe = image_pipeline("img2img")
    draw(pipe, "img2img")
    assert not pipe.unet.runs[-1].rule.learned_variance
    settings = {"variance_type": "learned_range"}
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config, **settings)
    draw(pipe, "img2img")
    assert pipe.unet.runs[-1].rule == StepRule(learned_variance=True)


@pytest.mark.parametrize("task", ["img2img", "inpaint", "controlnet"])
def test_bug_2_kept_the_config_says_whether_the_clean_sample_is_clipped(task: str) -> None:
    latents = {}
    for clip in (True, False):
        pipe = image_pipeline(task)
        pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config, clip_sample=clip)
        # an output of 100 asks for a clean sample far beyond 1
        latents[clip] = draw(
            pipe, task, 100 * ONE, guidance_scale=1, num_inference_steps=1, output_type="latent"
        )
    assert np.abs(latents[True]).max() <= 1.001
    assert np.abs(latents[False]).max() > 3


@pytest.mark.parametrize("task", ["img2img", "controlnet img2img"])
def test_bug_5_fixed_height_is_not_taken_for_width(task: str) -> None:
    pipe = image_pipeline(task)
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, 16:] = 255  # bright on the right
    images = draw(pipe, task, image=image, height=16, width=32)
    assert images.shape == (1, 16, 32, 3)
    assert pipe.unet.runs[-1].first.shape == (1, 4, 4, 8)
    latents = draw(pipe, task, image=image, height=16, width=32, strength=0.5, output_type="latent")
    assert latents.shape == (1, 4, 4, 8)


def test_bug_6_fixed_latents_are_taken_as_a_picture() -> None:
    pipe = image_pipeline("img2img")
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    latents = pipe.movq.encode(pixels)
    embeds = np.repeat(ONE, 2, axis=0)
    expected = draw(pipe, "img2img", embeds, image=pixels, strength=0.5)
    for given in (latents, list(latents[:, None])):
        got = draw(pipe, "img2img", embeds, image=given, strength=0.5)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize(("height", "width"), [(15, 30), (17, 16)])
def test_bugs_7_and_8_fixed_pictures_have_the_size_asked_for(
    task: str, height: int, width: int
) -> None:
    pipe = image_pipeline(task)
    images = draw(pipe, task, height=height, width=width)
    assert images.shape == (1, height, width, 3)
    cells = (-(-height // 16) * 4, -(-width // 16) * 4)  # whole latents, as for text to image
    assert pipe.unet.runs[-1].first.shape == (1, 4, *cells)
    for name, array in pipe.unet.runs[-1].conditioning.items():
        if name != "image_embeds":
            assert array.shape[2:] == (
                cells if name == "image_latents" else (8 * cells[0], 8 * cells[1])
            )


def test_bug_9_fixed_each_picture_of_a_batch_is_blended_with_its_own() -> None:
    pipe = image_pipeline("inpaint")
    pictures = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 255)]
    masks = [RIGHT, 1 - RIGHT]
    latents = draw(
        pipe,
        "inpaint",
        np.repeat(ONE, 2, axis=0),
        image=pictures,
        mask_image=masks,
        num_images_per_prompt=2,
        output_type="latent",
    )
    # the first column is kept in the first pictures, the last in the others
    np.testing.assert_allclose(latents[:2, 0, :, 0], -1)
    np.testing.assert_allclose(latents[2:, 0, :, 3], 1)
    for row, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        seeds = [5, 6]
        options = {"num_images_per_prompt": 2, "output_type": "latent"}
        alone = draw(pipe, "inpaint", image=picture, mask_image=mask, seed=seeds, **options)
        together = draw(
            pipe,
            "inpaint",
            np.repeat(ONE, 2, axis=0),
            image=pictures,
            mask_image=masks,
            seed=seeds * 2,
            **options,
        )
        np.testing.assert_array_equal(together[2 * row : 2 * row + 2], alone)


def naive_keep(repaint: FloatArray) -> FloatArray:
    """The reference's rule, spelt out: a repainted cell takes six of its neighbours along."""
    keep = 1 - repaint
    for row, plane in enumerate(repaint[:, 0]):
        height, width = plane.shape
        for y in range(height):
            for x in range(width):
                if plane[y, x] == 0:
                    continue
                for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1)):
                    if 0 <= y + down < height and 0 <= x + right < width:
                        keep[row, 0, y + down, x + right] = 0
    return keep


def test_bug_10_kept_the_repainted_region_grows_by_six_of_eight_neighbours() -> None:
    rng = np.random.default_rng(0)
    for share, shape in ((0.05, (2, 1, 9, 13)), (0.5, (3, 1, 6, 4)), (1.1, (1, 1, 4, 4))):
        repaint = (rng.random(shape) < share).astype(np.float32)
        np.testing.assert_array_equal(keep_mask(repaint), naive_keep(repaint))
    one = np.zeros((1, 1, 5, 5), np.float32)
    one[..., 2, 2] = 1
    assert keep_mask(one)[0, 0, 1:4, 1:4].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_bug_10_kept_through_the_pipeline() -> None:
    pipe = image_pipeline("inpaint")
    mask = np.zeros((32, 48), np.float32)
    mask[16:20, 24:28] = 1
    draw(pipe, "inpaint", mask_image=mask, height=32, width=48)
    keep = naive_keep(mask[None, None, ::4, ::4])
    run = pipe.unet.runs[-1]
    np.testing.assert_array_equal(run.kept.mask, keep)
    np.testing.assert_array_equal(run.conditioning["image_latents"][:, 4:], np.repeat(keep, 2, 0))
    np.testing.assert_array_equal(
        run.conditioning["image_latents"][:1, :4], run.kept.original * keep
    )


def test_bug_11_fixed_the_mask_passed_in_stays_as_it_was() -> None:
    mask, image = RIGHT * 0.7 + 0.1, np.full((16, 16, 3), 0.25, np.float32)
    before = mask.copy(), image.copy()
    draw(image_pipeline("inpaint"), "inpaint", mask_image=mask, image=image, paste_back=True)
    np.testing.assert_array_equal(mask, before[0])
    np.testing.assert_array_equal(image, before[1])


def test_bug_12_white_is_repainted_and_black_is_kept() -> None:
    pipe = image_pipeline("inpaint")
    latents = draw(
        pipe,
        "inpaint",
        100 * ONE,
        image=Image.new("RGB", (16, 16), "white"),
        mask_image=RIGHT,
        output_type="latent",
    )
    np.testing.assert_array_equal(latents[..., :1], 1)  # white, encoded
    np.testing.assert_allclose(latents[..., 1:], -1, atol=1e-6)


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize("guidance", [1.0, 0.0])
def test_bug_14_fixed_several_pictures_without_guidance(task: str, guidance: float) -> None:
    pipe = image_pipeline(task)
    options = {"guidance_scale": guidance, "negative_image_embeds": None}
    embeds = np.float32([[1] * WIDTH, [2] * WIDTH])
    images = draw(pipe, task, embeds, num_images_per_prompt=3, **options)
    assert len(images) == 6
    conditioning = pipe.unet.runs[-1].conditioning
    assert {len(array) for array in conditioning.values()} == {6}
    np.testing.assert_array_equal(conditioning["image_embeds"][:, 0], [1, 1, 1, 2, 2, 2])


def test_bug_16_fixed_emb2emb_interpolates_texts() -> None:
    pipe = emb2emb_pipeline()
    mixed = pipe.interpolate(["ab", GREY], [0.25, 2.0], seed=3, num_inference_steps=2)
    plain = super(type(pipe), pipe).__call__("ab", seed=3, num_inference_steps=2)
    picture = pipe.image_encoder.encode(np.full((1, 3, SIDE, SIDE), 0, np.float32))
    grey = pipe._encode_pixels(pipe._pixels("image", GREY))
    assert not np.array_equal(grey, picture)
    np.testing.assert_allclose(mixed.image_embeds, 0.25 * plain.image_embeds + 2 * grey, rtol=1e-5)
    assert mixed.image_embeds.shape == (1, WIDTH)


def test_bug_16_fixed_the_negative_of_emb2emb_is_no_noise() -> None:
    pipe = emb2emb_pipeline()
    for seed in (1, 2):
        mixed = pipe.interpolate(["a", GREY], [1, 1], seed=seed, num_images_per_prompt=2)
        np.testing.assert_array_equal(mixed.negative_image_embeds, np.full((2, WIDTH), -1))


def test_bug_17_kept_the_embedding_is_noised_without_normalisation() -> None:
    pipe = emb2emb_pipeline()
    statistics = np.full((1, WIDTH), 5, np.float32), np.full((1, WIDTH), 3, np.float32)
    pipe.prior.clip_statistics = lambda: statistics
    embedding = np.full((1, WIDTH), 7, np.float32)
    pipe("a", embedding, strength=0.5, num_inference_steps=10, seed=4)
    run = pipe.prior.runs[-1]
    assert len(run.timesteps) == 5
    schedule = pipe.scheduler.schedule(10, 5)
    signal, deviation = schedule.noising[0]
    noise = Generator(4).randn((1, WIDTH))
    np.testing.assert_allclose(run.first, signal * embedding + deviation * noise, rtol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_bug_20_kept_draws_of_image_to_image(strength: float) -> None:
    """The noise of the start, then one draw a step, the last (of 1e-10) too."""
    pipe = image_pipeline("img2img")
    generator = Generator(9)
    draw(pipe, "img2img", strength=strength, num_inference_steps=4, seed=None, generator=generator)
    stream = Generator(9)
    start = stream.randn((1, 4, 4, 4))
    run = pipe.unet.runs[-1]
    schedule = pipe.scheduler.schedule(4, int(4 - 4 * strength))
    original = pipe.movq.encode(np.full((1, 3, 16, 16), 128 / 127.5 - 1, np.float32))
    np.testing.assert_allclose(run.first, schedule.noised(original, start), atol=1e-6)
    assert len(run.noises) == 4 * strength
    for noise in run.noises:
        np.testing.assert_array_equal(noise, stream.randn((1, 4, 4, 4)))
    np.testing.assert_array_equal(generator.randn(3), stream.randn(3))


def test_bug_20_kept_draws_of_inpainting() -> None:
    """The start's noise is also the one that the kept part is noised with: no further draws."""
    pipe = image_pipeline("inpaint")
    generator = Generator(9)
    draw(pipe, "inpaint", seed=None, generator=generator, num_inference_steps=3)
    stream = Generator(9)
    run = pipe.unet.runs[-1]
    np.testing.assert_array_equal(run.first, stream.randn((1, 4, 4, 4)))
    np.testing.assert_array_equal(run.kept.noise, run.first)
    for noise in run.noises:
        np.testing.assert_array_equal(noise, stream.randn((1, 4, 4, 4)))
    np.testing.assert_array_equal(generator.randn(3), stream.randn(3))


def test_bug_20_kept_draws_of_emb2emb() -> None:
    pipe = emb2emb_pipeline()
    generator = Generator(9)
    pipe("a", GREY, strength=0.6, num_inference_steps=5, generator=generator)
    stream = Generator(9)
    stream.randn((1, WIDTH))
    *drawn, last = pipe.prior.runs[-1].noises
    assert last is None
    assert len(drawn) == 2
    for noise in drawn:
        np.testing.assert_array_equal(noise, stream.randn((1, WIDTH)))
    np.testing.assert_array_equal(generator.randn(3), stream.randn(3))


@pytest.mark.parametrize("wrapped", [False, True])
def test_bug_23_fixed_one_picture_serves_all_prompts(wrapped: bool) -> None:
    options = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "output_type": "np"}
    image, mask = ([GREY], [RIGHT]) if wrapped else (GREY, RIGHT)
    prompts = ["a", "b"]
    pipe = combined_pipeline(KandinskyV22Img2ImgCombinedPipeline)
    images = pipe(prompts, image, strength=1, num_images_per_prompt=2, **options).images
    assert images.shape == (4, 16, 16, 3)
    pipe = combined_pipeline(KandinskyV22InpaintCombinedPipeline)
    images = pipe(prompts, image, mask, num_images_per_prompt=2, **options).images
    assert images.shape == (4, 16, 16, 3)


def test_bug_23_fixed_pictures_of_several_prompts_stay_with_their_prompts() -> None:
    """The reference repeats pictures a b a b beside embeddings a a b b."""
    pipe = combined_pipeline(KandinskyV22InpaintCombinedPipeline)
    pictures = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 255)]
    pipe(["ab", "cd"], pictures, RIGHT, num_images_per_prompt=2, num_inference_steps=1, seed=0)
    kept = pipe.unet.runs[-1].kept.original[:, 0, 0, 0]
    np.testing.assert_array_equal(kept, [-1, -1, 1, 1])


@pytest.mark.parametrize("task", ["decoder", "inpaint", "controlnet"])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_bug_25_fixed_users_latents_are_cast(task: str, dtype: Any) -> None:
    pipe = image_pipeline(task)
    latents = Generator(1).randn((1, 4, 4, 4)).astype(dtype)
    draw(pipe, task, latents=latents)
    run = pipe.unet.runs[-1]
    assert run.first.dtype == np.float32
    np.testing.assert_array_equal(run.first, latents.astype(np.float32))


@pytest.mark.parametrize("task", ALL)
def test_bug_27_fixed_arrays_are_pictures_from_0_to_1_in_every_task(task: str) -> None:
    images = draw(image_pipeline(task), task)
    assert images.dtype == np.float32
    assert images.shape == (1, 16, 16, 3)
    # the fake draws coordinates from -1 to 1 into two channels
    np.testing.assert_allclose(images[0, :, 0, 0], np.linspace(0, 1, 16), atol=1e-6)
    np.testing.assert_allclose(images[0, 0, :, 1], np.linspace(0, 1, 16), atol=1e-6)
    pictures = draw(image_pipeline(task), task, output_type="pil")
    np.testing.assert_array_equal(np.asarray(pictures[0]), (images[0] * 255).round())
