"""What core decides in Kandinsky 2.0, and the faults of the original that are options or gone."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from kandinsky_core import DDPMScheduler, Generator, KandinskyV22Pipeline, get_kandinsky2
from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from kandinsky_core.pipelines.kandinsky2_0.entry_point import Kandinsky2
from tests.support.fakes import decoder_components
from tests.support.fakes_2_0 import SCALE, SECOND, TASKS, pipeline

SIDE = 16
PICTURE = np.arange(SIDE * SIDE * 3, dtype=np.uint32).reshape(SIDE, SIDE, 3).astype(np.uint8)
LATENT = (PICTURE[::4, ::4, 0] / 127.5 - 1) * SCALE


def inputs(task: str) -> dict[str, Any]:
    mask = np.zeros((SIDE, SIDE))
    mask[:, 8:] = 1
    given = {"image": PICTURE} if task != "decoder" else {}
    return given | ({"mask_image": mask} if task == "inpaint" else {})


def call(pipe: Any, task: str = "decoder", prompt: Any = "ab", **options: Any) -> Any:
    """The pictures, and the loop that made them."""
    steps = {"num_inference_steps": 10, "output_type": "np", "seed": 1}
    images = pipe(prompt, **inputs(task), **{**steps, **options}).images
    return images, pipe.unet.runs[-1]


def test_conditioning_has_the_unconditional_rows_first() -> None:
    pipe = pipeline()
    _, run = call(pipe, prompt=["ab", "c"], negative_prompt="d", num_images_per_prompt=2)
    shapes = {name: array.shape[0] for name, array in run.conditioning.items()}
    assert shapes == dict.fromkeys(pipe.unet.config.conditioning_names, 8)
    second = run.conditioning["text_encoder_hidden_states_2"]
    letters = [ord(letter) % 7 * 2 for letter in "dddd"] + [ord(x) % 7 * 2 for x in "aacc"]
    assert second[:, 0, 0].tolist() == letters
    assert second.shape[2] == SECOND


def test_without_a_negative_prompt_the_empty_text_guides() -> None:
    _, run = call(pipeline())
    _, same = call(pipeline(), negative_prompt="")
    assert not run.conditioning["text_embeds"][0].any()
    for name, array in run.conditioning.items():
        np.testing.assert_array_equal(array, same.conditioning[name])
    _, alone = call(pipeline(), guidance_scale=1)
    assert len(alone.conditioning["text_embeds"]) == 1


@pytest.mark.parametrize("task", TASKS)
def test_any_size_and_number(task: str) -> None:
    images, run = call(pipeline(task), task, height=20, width=30, num_images_per_prompt=3)
    assert images.shape == (3, 20, 30, 3)
    assert run.first.shape == (3, 4, 8, 8)  # rounded up, and cut off again
    assert not np.array_equal(run.first[0], run.first[1])
    assert call(pipeline(task), task)[0].shape == (1, SIDE, SIDE, 3)


def test_latents_are_drawn_once_for_a_picture_and_scaled() -> None:
    """The draws are: latents, the noise of the start, then one for each step."""
    pipe = pipeline("img2img")
    request = pipe.prepare("ab", PICTURE, num_inference_steps=10, seed=3)
    np.testing.assert_allclose(pipe._latents(request)[0, 0], LATENT, atol=1e-5)
    pipe.vae.spread = 0.0
    request = pipe.prepare("ab", PICTURE, num_images_per_prompt=2, generator=Generator(3))
    drawn = pipe._latents(request)
    noise = Generator(3).randn((1, 4, 4, 4)) * np.float32(SCALE)
    np.testing.assert_allclose(drawn[0, 0], LATENT + noise[0, 0], atol=1e-5)
    assert len(drawn) == 1
    request = pipe.prepare("ab", PICTURE, num_images_per_prompt=2, seed=[3, 4])
    assert len(pipe._latents(request)) == 2


def test_latents_are_scaled_back_before_they_are_decoded() -> None:
    images, _ = call(pipeline(), output_type="latent")
    shown, _ = call(pipeline(), output_type="np")
    pixels = np.clip(images[0, 0] / SCALE / 2 + 0.5, 0, 1)
    np.testing.assert_allclose(shown[0, ::4, ::4, 2], pixels, atol=1e-5)


@pytest.mark.parametrize(
    ("kept", "first", "noised"),
    [(0.7, 291, 299), (0.8, 191, 198)],  # 1000 * (1 - 0.8) is 199.99999999999997
)
def test_image_to_image_starts_where_the_original_does(
    kept: float, first: int, noised: int
) -> None:
    pipe = pipeline("img2img")
    plan = pipe.plan(None, None, 100, 7.0, "np", 1 - kept)
    assert plan.schedule.timesteps[0] == first
    share = pipe.scheduler.alphas_cumprod[noised]
    np.testing.assert_allclose(plan.schedule.noising[0] ** 2, [share, 1 - share], rtol=1e-5)


def test_no_step_left_is_refused() -> None:
    pipe = pipeline("img2img")
    for strength in (0.0, 1.5):
        with pytest.raises(InvalidInputError, match="strength"):
            call(pipe, "img2img", strength=strength)
    with pytest.raises(InvalidInputError, match="leaves none to take"):
        call(pipe, "img2img", strength=0.05)


def test_inpainting_shows_the_kept_part_and_blends_only_where_the_original_did() -> None:
    for sampler, blends in (("current", False), ("first-release", True), ("ddpm", True)):
        _, run = call(pipeline("inpaint", sampler=sampler), "inpaint")
        shown = run.conditioning["image_latents"]
        keep = np.array(
            [1, 0, 0, 0], np.float32
        )  # the neighbours of what is repainted are not kept
        np.testing.assert_array_equal(shown[0, 4], np.tile(keep, (4, 1)))
        np.testing.assert_allclose(shown[0, 0], LATENT * keep, atol=1e-5)
        assert (run.kept is not None, run.rule.blends_x0) == (blends, blends)


def test_paste_back_keeps_pixels() -> None:
    images, _ = call(pipeline("inpaint"), "inpaint", paste_back=True)
    np.testing.assert_allclose(images[0, :, :8], PICTURE[:, :8] / 255, atol=1e-6)


def test_other_schedulers_serve() -> None:
    for task in TASKS:
        pipe = pipeline(task)
        pipe.scheduler = DDPMScheduler(variance_type="learned_range")
        _, run = call(pipe, task)
        assert run.rule.learned_variance
    assert len(run.timesteps) == 10


def test_metadata_tells_texts_and_settings() -> None:
    made = pipeline()("ab", negative_prompt="c", num_inference_steps=2, seed=5, output_type="np")
    (facts,) = made.metadata
    wanted = {"prompt": "ab", "negative_prompt": "c", "seed": 5, "num_inference_steps": 2}
    assert wanted.items() <= facts.items()


def test_the_autoencoder_has_two_names() -> None:
    pipe = pipeline()
    assert pipe.movq is pipe.vae
    pipe.enable_vae_tiling()
    assert pipe.vae.tiling is not None
    pipe.vae = None
    with pytest.raises(InvalidInputError, match="no vae"):
        call(pipe)


def test_networks_of_other_families_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs the UNet of Kandinsky 2\.0"):
        TASKS["decoder"](
            **{**pipeline().components, "unet": decoder_components()["unet"]},
        )
    with pytest.raises(ConfigError, match="this is one of Kandinsky20Pipeline"):
        KandinskyV22Pipeline(**{**decoder_components(), "unet": pipeline().unet})


def readme(task: str = "decoder", **options: Any) -> Kandinsky2:
    return Kandinsky2(pipeline(task), **options)


def timesteps(model: Kandinsky2, method: str, *given: Any, **options: Any) -> Any:
    getattr(model, method)("ab", *given, progress=False, seed=1, **options)
    return model.pipe.unet.runs[-1]


@pytest.mark.parametrize("encoder", ["text_encoder", "text_encoder_2"])
def test_a_tokenizer_of_another_model_is_refused(encoder: str) -> None:
    pipe = pipeline()
    getattr(pipe, encoder).config.vocab_size = 2
    with pytest.raises(CheckpointError, match="and the text encoder knows 2: load both"):
        pipe("a cat", height=SIDE, width=SIDE, num_inference_steps=2)
    assert not pipe.unet.runs


def test_eta_is_dead_in_the_current_code_and_alive_in_the_first_release() -> None:
    """The original compares the sampler's name after the sampler has taken its place."""
    options = {"num_steps": 4, "h": SIDE, "w": SIDE}
    for release, draws in (("current", False), ("first-release", True)):
        for eta in (0.05, 1.0):
            run = timesteps(readme(release=release), "generate_text2img", ddim_eta=eta, **options)
            assert run.timesteps == [751, 501, 251, 1]
            assert (run.noises[0] is not None) == draws
            assert (run.rule.threshold is not None) == draws


def test_the_readme_runs() -> None:
    texts = {"num_steps": 75, "denoised_type": "dynamic_threshold", "dynamic_threshold_v": 99.5}
    texts |= {"sampler": "ddim_sampler", "ddim_eta": 0.05, "guidance_scale": 10}
    model = readme()
    pictures = model.generate_text2img("кот", batch_size=4, h=SIDE, w=SIDE, progress=False, **texts)
    assert [picture.size for picture in pictures] == [(SIDE, SIDE)] * 4
    assert len(model.pipe.unet.runs[-1].timesteps) == 77
    run = timesteps(model, "generate_img2img", PICTURE, strength=0.8, **texts)
    assert max(run.timesteps) <= 199
    mask = np.ones((32, 48), np.float32)
    mask[16:] = 0
    run = timesteps(readme("inpaint"), "generate_inpainting", PICTURE, mask, **texts)
    kept = run.conditioning["image_latents"][0, 4]
    np.testing.assert_array_equal(kept, np.repeat([[1], [0], [0], [0]], 4, axis=1))
    run = timesteps(model, "generate_text2img", num_steps=4, h=SIDE, w=SIDE, sampler="p_sampler")
    assert (run.timesteps, run.rule.learned_variance) == ([999, 666, 333, 0], True)


@pytest.mark.parametrize(
    ("method", "given", "options", "match"),
    [
        ("generate_text2img", (), {"sampler": "plms_sampler"}, "sampler='plms_sampler'"),
        ("generate_img2img", (PICTURE,), {"strength": 1}, "strength=1"),
        ("generate_inpainting", (PICTURE, np.ones((4, 4))), {}, "task_type='inpainting'"),
    ],
)
def test_what_the_readme_does_not_have(
    method: str, given: Any, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        getattr(readme(), method)("ab", *given, **options)
    with pytest.raises(InvalidInputError, match="img_mask"):
        readme("inpaint").generate_inpainting("ab", PICTURE, np.ones((4, 4, 3)))
    with pytest.raises(InvalidInputError, match="task_type='inpaint'"):
        get_kandinsky2("2.0", task_type="inpaint")
    names = list(inspect.signature(get_kandinsky2).parameters)
    assert names[:3] == ["device", "task_type", "cache_dir"]
