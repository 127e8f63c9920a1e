"""What the pipelines decide themselves, on a NumPy backend: batches, draws, sizes, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from kandinsky_core import DDIMScheduler, Generator
from kandinsky_core.errors import InvalidInputError, NonFiniteError
from tests.support.fakes import (
    WIDTH,
    FakeRun,
    FakeTextEncoder,
    combined_pipeline,
    decoder_pipeline,
)


@pytest.fixture
def pipe() -> Any:
    return combined_pipeline()


def test_output_reads_as_attribute_index_tuple_and_mapping(pipe: Any) -> None:
    out = pipe.prior_pipe("a", seed=0, num_inference_steps=2)
    embeds, negative = out
    assert out[0] is out.image_embeds is out["image_embeds"] is embeds is out.to_tuple()[0]
    assert out[1] is out.negative_image_embeds is negative
    assert dict(**out).keys() == {"image_embeds", "negative_image_embeds"}
    pictures = pipe("a", seed=0, num_inference_steps=2)
    assert pictures[0][0] is pictures.images[0]
    assert isinstance(pipe("a", seed=0, num_inference_steps=2, return_dict=False), tuple)


def test_guidance_puts_the_unconditional_rows_first(pipe: Any) -> None:
    pipe.prior_pipe(["ab", "cd"], seed=0, num_inference_steps=1, num_images_per_prompt=2)
    rows = pipe.prior_pipe.prior.runs[-1].conditioning["prompt_embeds"][:, 0]
    texts = ["", "", "", "", "ab", "ab", "cd", "cd"]
    expected = [sum(ord(letter) % 7 for letter in text) for text in texts]
    np.testing.assert_array_equal(rows, expected)


def test_without_guidance_the_batch_is_not_doubled_and_embeddings_are_repeated(pipe: Any) -> None:
    out = pipe(
        "a",
        seed=0,
        num_images_per_prompt=3,
        guidance_scale=1.0,
        prior_guidance_scale=1.0,
        num_inference_steps=1,
    )
    assert len(out.images) == 3
    assert len(pipe.prior_pipe.prior.runs[0].conditioning["prompt_embeds"]) == 3
    decoder = pipe.decoder_pipe
    out = decoder(
        np.ones((2, WIDTH)), num_images_per_prompt=2, guidance_scale=0, num_inference_steps=1
    )
    assert len(out.images) == 4
    assert len(decoder.unet.runs[-1].conditioning["image_embeds"]) == 4


def test_negative_prompt_runs_through_the_prior_with_itself_as_unconditional(pipe: Any) -> None:
    out = pipe.prior_pipe(["ab", "cd"], negative_prompt="x", seed=0, num_inference_steps=2)
    rows = pipe.prior_pipe.prior.runs[-1].conditioning["prompt_embeds"][:, 0]
    codes = {text: sum(ord(letter) % 7 for letter in text) for text in ("ab", "cd", "x")}
    order = ["x", "x", "x", "x", "ab", "cd", "x", "x"]
    np.testing.assert_array_equal(rows, [codes[text] for text in order])
    assert out.image_embeds.shape == out.negative_image_embeds.shape == (2, WIDTH)


def test_without_a_negative_prompt_the_negative_embedding_is_that_of_the_zero_image(
    pipe: Any,
) -> None:
    out = pipe.prior_pipe("a", seed=0, num_inference_steps=1, num_images_per_prompt=2)
    np.testing.assert_array_equal(out.negative_image_embeds, np.full((2, WIDTH), -1))


def test_each_distinct_text_is_encoded_once_and_alone(pipe: Any) -> None:
    pipe.prior_pipe(["a", "b", "a"], negative_prompt="", seed=0, num_inference_steps=1)
    assert pipe.prior_pipe.text_encoder.calls == 3  # "a", "b", ""


@pytest.mark.parametrize("negative", [None, "x"])
def test_picture_of_a_list_of_seeds_gets_the_noise_it_gets_alone(
    pipe: Any, negative: str | None
) -> None:
    arguments: dict[str, Any] = {
        "negative_prompt": negative,
        "num_inference_steps": 3,
        "prior_num_inference_steps": 3,
        "output_type": "latent",
    }
    batch = pipe("a", seed=[5, 9], num_images_per_prompt=2, **arguments).images
    for row, seed in enumerate((5, 9)):
        alone = pipe("a", seed=seed, **arguments).images
        np.testing.assert_array_equal(batch[row], alone[0])


def test_generator_runs_on_from_the_prior_into_the_decoder(pipe: Any) -> None:
    pipe("a", generator=Generator(3), num_inference_steps=2, prior_num_inference_steps=3)
    stream = Generator(3)
    prior, decoder = pipe.prior_pipe.prior.runs[0], pipe.decoder_pipe.unet.runs[0]
    np.testing.assert_array_equal(prior.first, stream.randn((1, WIDTH)))
    for noise in prior.noises[:2]:
        np.testing.assert_array_equal(noise, stream.randn((1, WIDTH)))
    assert prior.noises[2] is None  # UnCLIP's last step draws nothing ...
    np.testing.assert_array_equal(decoder.first, stream.randn((1, 4, 4, 4)))
    for noise in decoder.noises:  # ... but DDPM's does: its last timestep is 1
        np.testing.assert_array_equal(noise, stream.randn((1, 4, 4, 4)))


@pytest.mark.parametrize(
    ("height", "width", "latent"),
    [(16, 16, (4, 4)), (1, 1, (4, 4)), (17, 33, (8, 12)), (40, 64, (12, 16))],
)
def test_pictures_have_the_size_asked_for(height: int, width: int, latent: tuple[int, int]) -> None:
    decoder = decoder_pipeline()
    out = decoder(
        np.ones((1, WIDTH)),
        np.zeros((1, WIDTH)),
        height=height,
        width=width,
        num_inference_steps=1,
        output_type="np",
    )
    assert decoder.unet.runs[0].first.shape == (1, 4, *latent)
    assert out.images.shape == (1, height, width, 3)
    # Cut on the right and at the bottom: the first pixel is the first of the whole.
    assert out.images[0, 0, 0, 0] == 0
    assert out.images[0, 0, 0, 1] == 0


def test_default_size_is_the_one_that_the_unet_was_trained_at() -> None:
    out = decoder_pipeline()(np.ones((1, WIDTH)), np.zeros((1, WIDTH)), num_inference_steps=1)
    assert out.images[0].size == (16, 16)


def test_callback_sees_every_step_and_can_change_the_sample() -> None:
    decoder = decoder_pipeline()
    seen = []

    def callback(pipe: Any, index: int, timestep: int, values: Mapping[str, Any]) -> dict[str, Any]:
        seen.append((index, timestep, sorted(values)))
        return {"latents": np.zeros_like(values["latents"])} if index == 2 else {}

    out = decoder(
        np.ones((1, WIDTH)),
        np.zeros((1, WIDTH)),
        num_inference_steps=3,
        seed=0,
        output_type="latent",
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["latents", "image_embeds"],
    )
    assert seen == [(i, t, ["image_embeds", "latents"]) for i, t in enumerate((667, 334, 1))]
    np.testing.assert_array_equal(out.images, 0)


def test_callback_may_change_the_latents_in_place() -> None:
    decoder = decoder_pipeline()

    def callback(pipe: Any, index: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
        values["latents"][:] = 2
        return values

    out = decoder(
        np.ones((1, WIDTH)),
        np.zeros((1, WIDTH)),
        num_inference_steps=1,
        output_type="latent",
        callback_on_step_end=callback,
    )
    np.testing.assert_array_equal(out.images, 2)


def test_callback_may_change_the_conditioning() -> None:
    decoder = decoder_pipeline()

    def callback(pipe: Any, index: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
        return {"image_embeds": np.zeros_like(values["image_embeds"])}

    decoder(
        np.ones((1, WIDTH)),
        np.ones((1, WIDTH)),
        num_inference_steps=1,
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["image_embeds"],
    )
    assert not decoder.unet.runs[0].conditioning["image_embeds"].any()


@pytest.mark.parametrize("how", ["method", "attribute"])
def test_interrupt_skips_the_remaining_steps(how: str) -> None:
    decoder = decoder_pipeline()

    def callback(pipe: Any, index: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
        if index == 1 and how == "method":
            pipe.interrupt()
        elif index == 1:
            pipe._interrupt = True
        return values

    arguments: dict[str, Any] = {"num_inference_steps": 5, "callback_on_step_end": callback}
    decoder(np.ones((1, WIDTH)), np.ones((1, WIDTH)), **arguments)
    assert len(decoder.unet.runs[-1].timesteps) == 2
    decoder(np.ones((1, WIDTH)), np.ones((1, WIDTH)), num_inference_steps=5)
    assert len(decoder.unet.runs[-1].timesteps) == 5, "the next call starts afresh"


def test_interrupt_in_the_prior_stops_the_decoder_too(pipe: Any) -> None:
    def callback(half: Any, index: int, timestep: int, values: dict[str, Any]) -> dict[str, Any]:
        pipe.interrupt()
        return values

    pipe("a", num_inference_steps=9, prior_callback_on_step_end=callback)
    assert len(pipe.prior_pipe.prior.runs[0].timesteps) == 1
    assert len(pipe.decoder_pipe.unet.runs[0].timesteps) == 1
    pipe("a", num_inference_steps=9, prior_num_inference_steps=4)
    assert len(pipe.decoder_pipe.unet.runs[1].timesteps) == 9


def test_decoder_arguments_are_refused_before_the_prior_runs(pipe: Any) -> None:
    for wrong in (
        {"height": 0},
        {"num_inference_steps": 0},
        {"output_type": "jpg"},
        {"guidance_scale": float("nan")},
        {"callback_on_step_end_tensor_inputs": ["sample"]},
    ):
        with pytest.raises(InvalidInputError):
            pipe("a", **wrong)
    assert not pipe.prior_pipe.prior.runs


def test_interpolate_adds_weighted_embeddings(pipe: Any) -> None:
    prior = pipe.prior_pipe
    mixed = prior.interpolate(["ab", "cd"], [0.25, 2.0], generator=3, num_inference_steps=2)
    generator = Generator(3)
    parts = [
        prior(text, generator=generator, num_inference_steps=2).image_embeds
        for text in ("ab", "cd")
    ]
    np.testing.assert_allclose(mixed.image_embeds, 0.25 * parts[0] + 2 * parts[1], rtol=1e-6)
    np.testing.assert_array_equal(mixed.negative_image_embeds, np.full((1, WIDTH), -1))
    named = prior.interpolate(["a"], [1], negative_prompt="zz", seed=0, num_inference_steps=1)
    assert (named.negative_image_embeds != -1).any()
    with pytest.raises(InvalidInputError, match="2 items but 1 weights"):
        prior.interpolate(["a", "b"], [1.0])


def test_scheduler_can_be_swapped_by_config() -> None:
    decoder = decoder_pipeline()
    decoder.scheduler = DDIMScheduler.from_config(decoder.scheduler.config)
    decoder(np.ones((1, WIDTH)), np.ones((1, WIDTH)), num_inference_steps=2)
    assert decoder.unet.runs[0].noises == [None, None]


def test_components_set_on_the_combined_pipeline_reach_its_halves(pipe: Any) -> None:
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    assert pipe.decoder_pipe.scheduler is pipe.scheduler is pipe.components["scheduler"]
    pipe.prior_text_encoder = other = FakeTextEncoder()
    assert pipe.prior_pipe.text_encoder is other
    with pytest.raises(AttributeError, match="vae"):
        _ = pipe.vae


def test_non_finite_results_name_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_pipeline()
    monkeypatch.setattr(FakeRun, "read", lambda self: self.sample * np.float32(np.nan))
    with pytest.raises(NonFiniteError, match="UNet"):
        decoder(np.ones((1, WIDTH)), np.ones((1, WIDTH)), num_inference_steps=1)


def test_metadata_says_what_makes_the_picture_again(pipe: Any) -> None:
    out = pipe(
        ["a", "b"], negative_prompt=["c", "d"], seed=[1, 2, 3, 4], num_images_per_prompt=2, height=8
    )
    assert [row["prompt"] for row in out.metadata] == ["a", "a", "b", "b"]
    assert [row["negative_prompt"] for row in out.metadata] == ["c", "c", "d", "d"]
    assert [row["seed"] for row in out.metadata] == [1, 2, 3, 4]
    row = out.metadata[0]
    assert (row["height"], row["width"], row["num_inference_steps"]) == (8, 16, 100)
    assert (row["prior_num_inference_steps"], row["backend"]) == (25, "numpy")
    assert row["generator_was_fresh"]
    used = Generator(7)
    used.randn(1)
    given = pipe("a", generator=used, latents=np.zeros((1, WIDTH)), num_inference_steps=1)
    assert not given.metadata[0]["generator_was_fresh"]
    assert given.metadata[0]["latents"] == "given"
    shared = pipe("a", generator=7, num_images_per_prompt=2, num_inference_steps=1).metadata
    assert [(m["seed"], m["batch_index"], m["batch_size"]) for m in shared] == [
        (7, 0, 2),
        (7, 1, 2),
    ]


def test_networks_are_placed_cast_and_offloaded_together(pipe: Any) -> None:
    assert pipe.to("cuda", "float16") is pipe
    assert {network.device for network in pipe.networks.values()} == {"cuda"}
    dtypes = {name: network.dtype for name, network in pipe.networks.items()}
    assert dtypes.pop("movq") == "float32"
    assert set(dtypes.values()) == {"float16"}
    pipe.enable_model_cpu_offload()
    assert all(network.offloaded for network in pipe.networks.values())
    for wrong in ("float64", "cdua"):
        with pytest.raises(InvalidInputError, match=f"{wrong}.*neither a device .* nor a dtype"):
            pipe.to(wrong)
