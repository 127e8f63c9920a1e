"""Kandinsky 2.1: what its pipelines decide, and the known bugs of the reference that concern it.

One test a row of the project's list of bugs; "fixed" are plain defects, "kept" is what default
pictures depend on. Row 30 needs networks and row 33 files: `parity/test_networks_2_1.py` and
`test_weights.py` have them.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kandinsky_core import Generator, KandinskyPriorPipeline
from kandinsky_core.errors import ConfigError, InvalidInputError
from tests.kandinsky_core.pipelines.test_reference_bugs import naive_keep
from tests.support.fakes import LENGTH, WIDTH, image_pipeline, prior_components
from tests.support.fakes_2_1 import COMBINED, DECODERS, STATES, combined, decoder, text_components

ONE = np.ones((1, WIDTH), np.float32)
GREY = Image.new("RGB", (16, 16), (128, 128, 128))
RIGHT = np.zeros((16, 16), np.float32)
RIGHT[:, 8:] = 1
# The published scheduler's, from beta's definition.
ALPHAS = np.cumprod(1 - np.linspace(0.00085, 0.012, 1000))
INPUTS: dict[str, dict[str, Any]] = {
    "decoder": {},
    "img2img": {"image": GREY, "strength": 1},
    "inpaint": {"image": GREY, "mask_image": RIGHT},
}
ALL = list(DECODERS)


def draw(pipe: Any, task: str, prompt: Any = "ab", embeds: Any = ONE, **options: Any) -> Any:
    """Two steps, as an array."""
    request = {"num_inference_steps": 2, "output_type": "np", "seed": 0, **INPUTS[task]}
    request |= {"negative_image_embeds": np.zeros_like(embeds)} | options
    return pipe(prompt, image_embeds=embeds, **request).images


def draw_combined(pipe: Any, task: str, prompt: Any, **options: Any) -> Any:
    request = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "output_type": "np"}
    return pipe(prompt, **request, **INPUTS[task], **options).images


def shown(pipe: Any, name: str) -> Any:
    """What the UNet was shown at last, of every row its first number."""
    array = pipe.unet.runs[-1].conditioning[name]
    return array.reshape(len(array), -1)[:, 0]


def sum_of(text: str) -> int:
    """What the fake tokenizer and text encoder make of a text."""
    return sum(ord(letter) % 7 for letter in text[:LENGTH])


def test_bug_3_kept_the_last_step_leaves_the_noise_of_the_first_alpha() -> None:
    pipe = decoder("decoder")
    start = Generator(0).randn((1, 4, 4, 4))
    options = {"guidance_scale": 1, "num_inference_steps": 1, "output_type": "latent"}
    latents = draw(pipe, "decoder", embeds=ONE / 2, **options)
    (timestep,) = pipe.unet.runs[-1].timesteps
    assert timestep == 1
    noise = 0.5  # the fake's prediction
    signal, deviation = np.sqrt(ALPHAS[1]), np.sqrt(1 - ALPHAS[1])
    clean = (start - deviation * noise) / signal
    expected = np.sqrt(ALPHAS[0]) * clean + np.sqrt(1 - ALPHAS[0]) * noise
    np.testing.assert_allclose(latents, expected, atol=1e-6)
    assert np.abs(latents - clean).max() > 1e-3


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_bug_4_kept_the_picture_is_noised_by_other_betas(strength: float) -> None:
    pipe = decoder("img2img")
    draw(pipe, "img2img", strength=strength, num_inference_steps=10, seed=5)
    run = pipe.unet.runs[-1]
    assert len(run.timesteps) == 10 * strength
    alpha = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))[int(1000 * strength) - 2]
    if strength == 0.3:  # the fact sheet's figures
        assert alpha == pytest.approx(0.398835, abs=1e-6)
        assert ALPHAS[291] == pytest.approx(0.48509136, abs=1e-6)
    latents = pipe.movq.encode(np.full((1, 3, 16, 16), 128 / 127.5 - 1, np.float32))
    noise = Generator(5).randn((1, 4, 4, 4))
    expected = np.sqrt(alpha) * latents + np.sqrt(1 - alpha) * noise
    np.testing.assert_allclose(run.first, expected, atol=1e-6)


def test_bug_5_fixed_image_to_image_of_any_shape() -> None:
    pipe = decoder("img2img")
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, 16:] = 255  # bright on the right
    assert draw(pipe, "img2img", image=image, height=16, width=32).shape == (1, 16, 32, 3)
    draw(pipe, "img2img", image=image, height=16, width=32, strength=0.01, num_inference_steps=100)
    first = pipe.unet.runs[-1].first
    assert first.shape == (1, 4, 4, 8)
    assert first[..., :4].mean() < -0.8
    assert first[..., 4:].mean() > 0.8


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize(("height", "width"), [(15, 30), (17, 16)])
def test_bug_8_fixed_pictures_have_the_size_asked_for(task: str, height: int, width: int) -> None:
    pipe = decoder(task)
    assert draw(pipe, task, height=height, width=width).shape == (1, height, width, 3)
    cells = (-(-height // 16) * 4, -(-width // 16) * 4)  # whole latents
    assert pipe.unet.runs[-1].first.shape == (1, 4, *cells)


def test_bug_10_kept_the_repainted_region_grows_by_six_of_eight_neighbours() -> None:
    pipe = decoder("inpaint")
    mask = np.zeros((32, 48), np.float32)
    mask[16:20, 24:28] = 1
    draw(pipe, "inpaint", mask_image=mask, height=32, width=48)
    image_latents = pipe.unet.runs[-1].conditioning["image_latents"]
    keep = naive_keep(mask[None, None, ::4, ::4])
    np.testing.assert_array_equal(image_latents[:, 4:], np.repeat(keep, 2, 0))
    assert keep.sum() == 8 * 12 - 7


def test_bug_11_fixed_the_mask_passed_in_stays_as_it_was() -> None:
    mask = RIGHT * 0.7 + 0.1
    before = mask.copy()
    draw(decoder("inpaint"), "inpaint", mask_image=mask, paste_back=True)
    np.testing.assert_array_equal(mask, before)


def test_bug_12_white_is_repainted_and_black_is_kept() -> None:
    pipe = decoder("inpaint")
    draw(pipe, "inpaint", image=Image.new("RGB", (16, 16), "white"), mask_image=RIGHT)
    shown_to_unet = pipe.unet.runs[-1].conditioning["image_latents"]
    # the first of four columns is kept; the second is repainted as its neighbour
    np.testing.assert_array_equal(shown_to_unet[..., :1], 1)
    np.testing.assert_array_equal(shown_to_unet[..., 1:], 0)


def test_bug_13_kept_nothing_is_blended() -> None:
    """Kept cells become what the UNet makes of them."""
    pipe = decoder("inpaint")
    options = {"guidance_scale": 1, "output_type": "latent", "num_inference_steps": 5}
    latents = draw(pipe, "inpaint", **options)
    assert pipe.unet.runs[-1].kept is None
    expected = draw(decoder("decoder"), "decoder", **options)
    np.testing.assert_array_equal(latents, expected)


def test_bug_13_paste_back_keeps_pixels_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    given = Image.fromarray(image)
    pictures = draw(decoder("inpaint"), "inpaint", image=given, output_type="pil", paste_back=True)
    made = np.asarray(pictures[0])
    np.testing.assert_array_equal(made[:, :8], image[:, :8])
    assert (made[:, 8:] != image[:, 8:]).any(axis=-1).mean() > 0.9
    plain = np.asarray(draw(decoder("inpaint"), "inpaint", image=given, output_type="pil")[0])
    np.testing.assert_array_equal(made[:, 8:], plain[:, 8:])
    assert (plain[:, :8] != image[:, :8]).any()
    with pytest.raises(InvalidInputError, match="paste_back works on pixels"):
        draw(decoder("inpaint"), "inpaint", output_type="latent", paste_back=True)


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize("guidance", [1.0, 0.0])
def test_bug_14_fixed_several_pictures_without_guidance(task: str, guidance: float) -> None:
    pipe = decoder(task)
    embeds = np.float32([[1] * WIDTH, [2] * WIDTH])
    options = {"guidance_scale": guidance, "negative_image_embeds": None}
    images = draw(pipe, task, ["a", "bc"], embeds, num_images_per_prompt=3, **options)
    assert len(images) == 6
    conditioning = pipe.unet.runs[-1].conditioning
    assert {len(array) for array in conditioning.values()} == {6}
    np.testing.assert_array_equal(shown(pipe, "image_embeds"), [1, 1, 1, 2, 2, 2])
    a, bc = sum_of("a"), sum_of("bc")
    np.testing.assert_array_equal(shown(pipe, "text_embeds"), [a, a, a, bc, bc, bc])


def test_bug_15_fixed_interpolation_of_several_rows_is_no_sum_of_rows() -> None:
    pipe = KandinskyPriorPipeline(**prior_components())
    pipe.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {"num_inference_steps": 2}
    mixed = pipe.interpolate(
        ["ab", GREY], [0.5, 2.0], num_images_per_prompt=3, seed=[3, 4, 5], **options
    )
    assert mixed.image_embeds.shape == mixed.negative_image_embeds.shape == (3, WIDTH)
    for row, seed in enumerate((3, 4, 5)):
        alone = pipe.interpolate(["ab", GREY], [0.5, 2.0], seed=seed, **options)
        np.testing.assert_allclose(mixed.image_embeds[row], alone.image_embeds[0], rtol=1e-6)
        text = pipe("ab", seed=seed, **options).image_embeds
        grey = pipe._encode_pixels(pipe._pixels("image", GREY))
        np.testing.assert_allclose(alone.image_embeds, 0.5 * text + 2 * grey, rtol=1e-5)


@pytest.mark.parametrize("task", ALL)
def test_bug_21_kept_the_negative_prompt_goes_to_the_prior_alone(task: str) -> None:
    pipe = combined(task)
    draw_combined(pipe, task, "ab", negative_prompt="cde")
    np.testing.assert_array_equal(shown(pipe, "text_embeds"), [0, sum_of("ab")])
    negative = shown(pipe, "image_embeds")[0]
    assert negative != -1, "the prior made no embedding of it"
    draw_combined(pipe, task, "ab")
    np.testing.assert_array_equal(shown(pipe, "text_embeds"), [0, sum_of("ab")])


@pytest.mark.parametrize("task", ALL)
def test_bug_21_the_decoder_takes_a_negative_prompt_of_its_own(task: str) -> None:
    pipe = combined(task)
    draw_combined(pipe, task, ["ab", "d"], decoder_negative_prompt="ce")
    ab, d, ce = sum_of("ab"), sum_of("d"), sum_of("ce")
    np.testing.assert_array_equal(shown(pipe, "text_embeds"), [ce, ce, ab, d])
    np.testing.assert_array_equal(shown(pipe, "image_embeds")[:2], [-1, -1])  # the zero image
    draw_combined(pipe, task, ["ab", "d"], decoder_negative_prompt=["", "ce"])
    np.testing.assert_array_equal(shown(pipe, "text_embeds"), [0, ce, ab, d])
    with pytest.raises(InvalidInputError, match="negative"):
        draw_combined(pipe, task, ["ab", "d"], decoder_negative_prompt=["x"] * 3)


@pytest.mark.parametrize("task", ALL)
def test_bug_22_fixed_prompts_stay_with_their_embeddings(task: str) -> None:
    pipe = combined(task)
    options: dict[str, Any] = {"num_images_per_prompt": 2, "decoder_negative_prompt": ["c", "e"]}
    seeds = [1, 2, 3, 4]
    together = draw_combined(pipe, task, ["ab", "d"], seed=seeds, **options)
    rows = [sum_of(text) for text in ("c", "c", "e", "e", "ab", "ab", "d", "d")]
    np.testing.assert_array_equal(shown(pipe, "text_embeds"), rows)
    for half, (prompt, negative) in enumerate((("ab", "c"), ("d", "e"))):
        part = slice(2 * half, 2 * half + 2)
        options["decoder_negative_prompt"] = negative
        alone = draw_combined(pipe, task, prompt, seed=seeds[part], **options)
        np.testing.assert_array_equal(together[part], alone)


def test_a_picture_says_the_decoders_negative_prompt() -> None:
    request: dict[str, Any] = {"num_inference_steps": 2, "prior_num_inference_steps": 2}
    request |= {"negative_prompt": "n", "num_images_per_prompt": 2}
    pipe = combined("decoder")
    output = pipe(["ab", "d"], decoder_negative_prompt=["c", "e"], **request)
    assert [row["decoder_negative_prompt"] for row in output.metadata] == ["c", "c", "e", "e"]
    assert [row["negative_prompt"] for row in output.metadata] == ["n"] * 4
    assert [row["prompt"] for row in output.metadata] == ["ab", "ab", "d", "d"]
    assert "decoder_negative_prompt" not in pipe("ab", **request).metadata[0]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("task", ["img2img", "inpaint"])
def test_bug_23_fixed_one_picture_serves_all_prompts(task: str, wrapped: bool) -> None:
    given: dict[str, Any] = {"image": [GREY] if wrapped else GREY}
    if task == "img2img":
        given["strength"] = 1
    if task == "inpaint":
        given["mask_image"] = [RIGHT] if wrapped else RIGHT
    request: dict[str, Any] = {"num_inference_steps": 2, "prior_num_inference_steps": 2}
    request |= given | {"output_type": "np", "num_images_per_prompt": 2}
    assert combined(task)(["a", "b"], **request).images.shape == (4, 16, 16, 3)


def test_bug_28_defaults_are_those_of_the_code() -> None:
    """The reference's documentation says otherwise."""
    found = {
        made.__name__: {
            name: parameter.default
            for name, parameter in inspect.signature(made.__call__).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        for made in (*DECODERS.values(), *COMBINED.values(), KandinskyPriorPipeline)
    }
    guidance = {name: values["guidance_scale"] for name, values in found.items()}
    assert guidance.pop("KandinskyImg2ImgPipeline") == 7
    assert set(guidance.values()) == {4}
    for name, values in found.items():
        assert values["num_inference_steps"] == (25 if name == "KandinskyPriorPipeline" else 100)
        assert values.get("strength", 0.3) == 0.3
        assert ("strength" in values) == ("Img2Img" in name)
        assert values.get("prior_num_inference_steps", 25) == 25
        assert values.get("prior_guidance_scale", 4) == 4


@pytest.mark.parametrize("task", ALL)
def test_bug_29_kept_the_unet_sees_padding(task: str) -> None:
    """All of the text encoder's states reach it, and no mask."""
    pipe = decoder(task)
    draw(pipe, task, "ad", negative_prompt="c")
    conditioning = pipe.unet.runs[-1].conditioning
    assert not [name for name in conditioning if "mask" in name and name != "image_latents"]
    states = conditioning["text_encoder_hidden_states"]
    assert states.shape == (2, LENGTH, STATES)
    a, d, c = (ord(letter) % 7 for letter in "adc")
    np.testing.assert_array_equal(states[..., 0], [[c, *[-1] * 4], [a, d, *[-1] * 3]])


@pytest.mark.parametrize("task", ALL)
def test_one_prompt_serves_all_embeddings(task: str) -> None:
    pipe = decoder(task)
    draw(pipe, task, "ab", np.repeat(ONE, 3, axis=0), negative_prompt="c")
    np.testing.assert_array_equal(
        shown(pipe, "text_embeds"), [sum_of("c")] * 3 + [sum_of("ab")] * 3
    )
    with pytest.raises(InvalidInputError, match="2 prompts for 3 pictures: give one for all"):
        draw(pipe, task, ["a", "b"], np.repeat(ONE, 3, axis=0))


@pytest.mark.parametrize("task", ALL)
def test_what_is_no_prompt_is_refused_before_anything_runs(task: str) -> None:
    pipe = decoder(task)
    for prompt in (None, 3, [], ["a", None]):
        with pytest.raises(InvalidInputError, match="prompt"):
            draw(pipe, task, prompt)
    with pytest.raises(InvalidInputError, match="negative"):
        draw(pipe, task, ["a", "b"], np.repeat(ONE, 2, axis=0), negative_prompt=["c"] * 3)
    assert pipe.unet.runs == []


@pytest.mark.parametrize("task", ALL)
def test_embeddings_have_the_width_that_the_unet_reads(task: str) -> None:
    """Beside text that is `cross_attention_dim`; `encoder_hid_dim` is the text's."""
    with pytest.raises(InvalidInputError, match=f"image_embeds.*{WIDTH}"):
        draw(decoder(task), task, embeds=np.ones((1, STATES), np.float32))


@pytest.mark.parametrize("task", ALL)
def test_callbacks_see_and_change_the_texts(task: str) -> None:
    pipe = decoder(task)
    seen = []

    def callback(_: Any, step: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, sorted(values)))
        return {"text_embeds": np.zeros_like(values["text_embeds"])}

    names = ["text_embeds", "text_encoder_hidden_states"]
    options = {"callback_on_step_end_tensor_inputs": names}
    draw(pipe, task, callback_on_step_end=callback, **options)
    assert seen == [(0, names), (1, names)]
    assert not shown(pipe, "text_embeds").any()


@pytest.mark.parametrize("task", ALL)
def test_the_unet_of_the_other_family_is_refused(task: str) -> None:
    other = image_pipeline(task)
    with pytest.raises(ConfigError, match=r"needs the UNet of Kandinsky.*this is one of Kandinsky"):
        DECODERS[task](**(text_components(task) | {"unet": other.unet}))
    parts = text_components(task)
    with pytest.raises(ConfigError, match=r"V22.*needs the UNet of KandinskyV22.*text_image"):
        type(other)(**{name: parts[name] for name in ("unet", "scheduler", "movq")})


@pytest.mark.parametrize("task", ALL)
def test_the_prior_of_the_other_family_is_refused(task: str) -> None:
    """2.1's image embeddings have 768 numbers, 2.2's 1280."""
    prior = {f"prior_{name}": value for name, value in prior_components().items()}
    prior["prior_prior"].config.embedding_dim = 2 * WIDTH
    said = f"image embeddings of {2 * WIDTH} numbers and the decoder reads {WIDTH}: take the prior"
    with pytest.raises(ConfigError, match=said):
        COMBINED[task](**text_components(task), **prior)
