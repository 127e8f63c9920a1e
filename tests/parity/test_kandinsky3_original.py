"""What ai-forever's weights of Kandinsky 3.1 make: text to image, inpainting, Flash.

From their files, and with smaller networks put together. diffusers does none of this. The reference
is the sampling as `kandinsky3_reference` transcribes it, around PyTorch's networks: T5, the UNet
with the texts as that code has them, MoVQ.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from PIL import Image  # noqa: E402

import kandinsky_core as kandinsky  # noqa: E402
from kandinsky_core.texts.t5_tokenizer import T5Tokenizer  # noqa: E402
from tests.parity import random_models_3, tiny  # noqa: E402
from tests.parity.original_kandinsky3 import (  # noqa: E402
    MOVQ,
    UNET,
    null_embedding,
    save_repository,
)
from tests.parity.random_models_3 import TEXTS  # noqa: E402
from tests.support import kandinsky3_reference as reference  # noqa: E402
from tests.support.backends import BACKENDS, needs, on_jax  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402

PICTURE_TOLERANCE = allowed("3 picture")
LATENT_TOLERANCE = allowed("3 flash latents")
STEPS = 4
HEIGHT, WIDTH = 64, 128
SHAPE = (4, HEIGHT // 8, WIDTH // 8)


# Put together from small networks, and loaded from files, which tell the published depth alone.
FILES = pytest.param("jax, files", marks=[needs("jax"), pytest.mark.slow])
every_form = pytest.mark.parametrize("form", [*BACKENDS, FILES], indirect=True, scope="module")


@pytest.fixture(scope="module", params=BACKENDS)
def form(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A backend, and whether all comes from files."""
    backend, _, files = request.param.partition(", ")
    return backend, bool(files)


@pytest.fixture(scope="module")
def parts(form: tuple[str, bool]) -> Any:
    """PyTorch's networks."""
    config = UNET if form[1] else tiny.KANDINSKY3_UNET_SHALLOW
    flash = tiny.kandinsky3_unet(config)
    flash.conv_out.weight *= 0.3
    return SimpleNamespace(
        unets={
            "kandinsky3": tiny.kandinsky3_unet(config),
            "kandinsky3_flash": flash,
            "kandinsky3_inpainting": tiny.kandinsky3_inpainting_unet(config),
        },
        movq=tiny.movq(MOVQ if form[1] else random_models_3.MOVQ),
        text_encoder=tiny.t5(tiny.T5),
        tokenizer=random_models_3.tokenizer(),
        null_embedding=null_embedding(config["cross_attention_dim"]),
    )


@pytest.fixture(scope="module")
def load(
    form: tuple[str, bool], parts: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """Load our pipeline of a name, from the files or put together from its parts."""
    folder, backend = tmp_path_factory.mktemp("Kandinsky3.1"), kandinsky.get_backend(form[0])
    if form[1]:
        save_repository(
            folder / "weights", parts.unets, parts.movq, parts.text_encoder, parts.tokenizer
        )

    def loaded(name: str) -> Any:
        pipeline = getattr(kandinsky, name)
        if form[1]:
            pipe = pipeline.from_pretrained(folder, backend=backend)
        else:
            pipe = pipeline(**components(name))
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def components(name: str) -> dict[str, Any]:
        parts.tokenizer.save_pretrained(folder)
        unet, scheduler = {
            "Kandinsky3Pipeline": ("kandinsky3", kandinsky.Kandinsky3Scheduler()),
            "Kandinsky3FlashPipeline": ("kandinsky3_flash", kandinsky.Kandinsky3FlashScheduler()),
            "Kandinsky3InpaintPipeline": (
                "kandinsky3_inpainting",
                kandinsky.Kandinsky3Scheduler(percentile=0.95),
            ),
        }[name]
        channels = {"in_channels": 9, "out_channels": 4} if "Inpaint" in name else {}
        return {
            "tokenizer": T5Tokenizer.from_pretrained(folder),
            "text_encoder": network(parts.text_encoder),
            "unet": network(parts.unets[unet], **channels),
            "scheduler": scheduler,
            "movq": network(parts.movq),
            "null_embedding": parts.null_embedding,
        }

    def network(model: Any, **changes: Any) -> Any:
        tensors = tiny.tensors_of(model)
        config = tiny.config_dict(model) | changes
        source = SimpleNamespace(
            class_name=type(model).__name__, config=config, tensors=lambda: tensors, name="model"
        )
        return backend.load(source, "float32")

    return loaded


def ids_of(parts: Any, text: str, longest: int = 128) -> list[int]:
    found = parts.tokenizer(text).input_ids
    return [*found[: longest - 1], 1] if len(found) > longest else found


def context_of(
    parts: Any, unet: Any, ids: list[int], length: int, seen: int | None = None
) -> tuple[Any, Any]:
    """Projected states, zero behind the tokens that are seen, and the mask, cut to a length."""
    mask = torch.arange(128)[None] < (len(ids) if seen is None else seen)
    padded = torch.tensor([ids + [0] * (128 - len(ids))])
    states = parts.text_encoder(padded, mask).last_hidden_state
    linear, norm = unet.encoder_hid_proj.projection_linear, unet.encoder_hid_proj.projection_norm
    return (norm(linear(states)) * mask[..., None])[:, :length], mask[:, :length]


def predictor(
    parts: Any,
    unet: Any,
    text: str,
    negative: str | None,
    weight: float,
    extra: Any = None,
    mended: bool = False,
) -> Any:
    """The guided prediction, as the sampling asks for it.

    That code sees a negative text through the mask of the prompt; `mended` takes its own.
    """
    ids = ids_of(parts, text)
    length = len(ids) + 1
    context, mask = context_of(parts, unet, ids, length)
    rows = [(context, mask)]
    if negative is not None:
        own = ids_of(parts, negative, len(ids))
        rows.append(context_of(parts, unet, own, length, None if mended else len(ids)))
    elif weight:
        nothing, seen = torch.zeros_like(context), torch.zeros_like(mask)
        nothing[0, 0], seen[0, 0] = torch.from_numpy(parts.null_embedding), True
        rows.append((nothing, seen))

    def run(x: Any, time: int, row: tuple[Any, Any]) -> Any:
        context, mask = (part.repeat(len(x), *[1] * (part.ndim - 1)) for part in row)
        given = torch.from_numpy(x)
        if extra is not None:
            given = torch.cat([given, extra.repeat(len(x), 1, 1, 1)], dim=1)
        unet.encoder_hid_proj.forward = lambda _: context
        try:
            return unet(given, time, context, mask).sample.numpy()
        finally:
            del unet.encoder_hid_proj.forward

    def predict(x: Any, time: int) -> Any:
        found = [run(x, time, row) for row in rows]
        return reference.guided(*found, weight) if len(rows) > 1 else found[0]

    return predict


def drawing(seed: int, count: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((count, *SHAPE), generator=generator).numpy()


def pictures(parts: Any, latents: Any) -> Any:
    decoded = parts.movq.decode(torch.from_numpy(latents), force_not_quantize=True).sample
    return ((decoded + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def check(got: Any, expected: Any) -> None:
    difference = np.abs(got - expected).max()
    print(f"max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert got.shape == expected.shape
    assert difference <= PICTURE_TOLERANCE
    assert expected.std() > 0.01, "a flat picture proves nothing"


@every_form
def test_text_to_image(load: Any, parts: Any) -> None:
    pipe = load("Kandinsky3Pipeline")
    assert pipe.convention == "mended"
    text_to_image(pipe, parts, None, STEPS)


# The first one is cut at its prompt's number of tokens, the second one is shorter.
@pytest.mark.slow
@on_jax("form")
@pytest.mark.parametrize("negative", [None, f"{TEXTS[3]} and {TEXTS[0]}", "low"])
def test_text_to_image_in_both_conventions(load: Any, parts: Any, negative: str | None) -> None:
    """At five steps float32 keeps 1.7 times the predicted noise."""
    pipe = load("Kandinsky3Pipeline")
    mended = text_to_image(pipe, parts, negative, 5)
    pipe.convention = "authors"
    as_authors = text_to_image(pipe, parts, negative, 5)
    shorter = negative is not None and len(ids_of(parts, negative)) < len(ids_of(parts, TEXTS[1]))
    least = 0.05 if shorter else 2 * PICTURE_TOLERANCE
    assert np.abs(mended - as_authors).max() > least, "a test must tell the two apart"


def text_to_image(pipe: Any, parts: Any, negative: str | None, steps: int) -> Any:
    """Compare what a pipeline makes in its convention with the transcription."""
    mended, times = pipe.convention == "mended", reference.times_of(steps)
    predict = predictor(parts, parts.unets["kandinsky3"], TEXTS[1], negative, 3.0, mended=mended)
    expected = reference.sample(predict, drawing(7, 2), times, 0.99, single=not mended)
    request = {"height": HEIGHT, "width": WIDTH, "output_type": "np", "seed": 7}
    request |= {"num_images_per_prompt": 2, "num_inference_steps": steps, "guidance_scale": 3.0}
    output = pipe(TEXTS[1], negative_prompt=negative, **request)
    check(output.images, pictures(parts, expected.astype(np.float32)))
    facts = {"prompt": TEXTS[1], "negative_prompt": negative, "convention": pipe.convention}
    assert facts.items() <= output.metadata[1].items()
    return output.images


@pytest.mark.slow
@every_form
def test_flash(load: Any, parts: Any) -> None:
    unet = parts.unets["kandinsky3_flash"]
    predict = predictor(parts, unet, TEXTS[0], None, 0)
    expected = reference.flash(predict, drawing(3, 2))
    pipe = load("Kandinsky3FlashPipeline")
    request = {"height": HEIGHT, "width": WIDTH, "num_images_per_prompt": 2, "seed": 3}
    got = pipe(TEXTS[0], **request, output_type="latent").images
    assert tiny.relative_error(got, expected) < LATENT_TOLERANCE
    for wrong in ({"guidance_scale": 4.0}, {"negative_prompt": "low"}):
        with pytest.raises(kandinsky.KandinskyError, match="Flash runs without guidance"):
            pipe(TEXTS[0], **request, **wrong)
    with pytest.raises(kandinsky.KandinskyError, match="num_inference_steps=25: Flash was"):
        pipe(TEXTS[0], num_inference_steps=25)


def picture_and_mask() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[11:50, 30:101] = 1
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), mask


@pytest.mark.slow
@every_form
def test_inpainting(load: Any, parts: Any) -> None:
    inpainting(load, parts, None)


@pytest.mark.slow
@on_jax("form")
def test_inpainting_with_a_negative_prompt(load: Any, parts: Any) -> None:
    inpainting(load, parts, "low quality")


@pytest.mark.slow
@on_jax("form")
def test_inpainting_with_a_soft_mask_as_the_authors(load: Any, parts: Any) -> None:
    """What a soft mask touches is blanked; the mask itself reaches the UNet as it is."""
    image, mask = picture_and_mask()
    mask[11:50, 60:101] = 0.3
    pixels = torch.from_numpy(image / np.float32(127.5) - 1).permute(2, 0, 1)[None].float()
    grey = pixels * torch.from_numpy(mask == 0)
    keep = torch.nn.functional.interpolate(torch.from_numpy(1 - mask)[None, None], SHAPE[1:])
    extra = torch.cat([keep, parts.movq.encode(grey).latents], dim=1)
    unet = parts.unets["kandinsky3_inpainting"]
    predict = predictor(parts, unet, TEXTS[0], "low", 4.0, extra)
    times = reference.times_of(5)
    expected = reference.sample(predict, drawing(9, 1), times, 0.95, single=True)
    pipe = load("Kandinsky3InpaintPipeline")
    pipe.convention = "authors"
    request = {"negative_prompt": "low", "num_inference_steps": 5, "output_type": "np", "seed": 9}
    got = pipe(TEXTS[0], Image.fromarray(image), mask, **request).images
    check(got, pictures(parts, expected.astype(np.float32)))


def inpainting(load: Any, parts: Any, negative: str | None) -> None:
    image, mask = picture_and_mask()
    pixels = torch.from_numpy(image / np.float32(127.5) - 1).permute(2, 0, 1)[None].float()
    grey = pixels.masked_fill(torch.from_numpy(mask).bool(), 0)
    keep = torch.nn.functional.interpolate(torch.from_numpy(1 - mask)[None, None], SHAPE[1:])
    extra = torch.cat([keep, parts.movq.encode(grey).latents], dim=1)
    unet = parts.unets["kandinsky3_inpainting"]
    predict = predictor(parts, unet, TEXTS[0], negative, 4.0, extra, mended=True)
    times = reference.times_of(STEPS)
    expected = reference.sample(predict, drawing(9, 2), times, 0.95)
    pipe = load("Kandinsky3InpaintPipeline")
    request = {"image": image, "mask_image": mask, "negative_prompt": negative, "seed": 9}
    request |= {"height": HEIGHT, "width": WIDTH, "num_inference_steps": STEPS}
    request |= {"num_images_per_prompt": 2}
    got = pipe(TEXTS[0], **request, output_type="np").images
    check(got, pictures(parts, expected.astype(np.float32)))
    pasted = pipe(TEXTS[0], **request, output_type="np", paste_back=True).images[0]
    kept = mask < 0.5
    np.testing.assert_array_equal((pasted[kept] * 255).round().astype(np.uint8), image[kept])
    np.testing.assert_array_equal(pasted[~kept], got[0][~kept])


@pytest.mark.slow
@on_jax("form")
def test_inpainting_of_any_size_and_several_prompts(load: Any) -> None:
    """A picture of no multiple of 64 keeps its size; each prompt has its picture and mask."""
    image, mask = picture_and_mask()
    other = Image.fromarray(image[:61, :99])
    masks = np.stack([mask[:61, :99], 1 - mask[:61, :99]])
    pipe = load("Kandinsky3InpaintPipeline")
    request = {"num_inference_steps": 2, "guidance_scale": 2.0, "output_type": "np"}
    both = pipe(
        list(TEXTS[:2]), image=other, mask_image=masks, seed=[1, 2], paste_back=True, **request
    ).images
    assert both.shape == (2, 61, 99, 3)
    for row in range(2):
        kept = masks[row] < 0.5
        np.testing.assert_array_equal(
            (both[row][kept] * 255).round().astype(np.uint8), np.asarray(other)[kept]
        )
        assert not np.array_equal(both[row][~kept], np.asarray(other)[~kept] / 255)
    with pytest.raises(kandinsky.KandinskyError, match="mask_image 0 has no white pixel"):
        pipe(TEXTS[0], image=other, mask_image=np.zeros((61, 99)), **request)


@pytest.mark.slow
@on_jax("form")
def test_prompts_of_one_length_are_pictures_of_their_own(load: Any, parts: Any) -> None:
    """Each prompt's picture is the one that it gives alone, with its own negative prompt."""
    texts = ["a red", "a square"]
    assert len({len(ids_of(parts, text)) for text in texts}) == 1
    pipe = load("Kandinsky3Pipeline")
    request = {"height": 64, "width": 64, "num_inference_steps": 2, "output_type": "np"}
    both = pipe(texts, negative_prompt=["low"] * len(texts), seed=[5] * len(texts), **request)
    for text, image in zip(texts, both.images, strict=True):
        alone = pipe(text, negative_prompt="low", seed=5, **request).images[0]
        np.testing.assert_allclose(image, alone, atol=allowed("3 picture alone"))


@pytest.mark.slow
@on_jax("form")
def test_either_convention_and_sampler_may_be_chosen(load: Any) -> None:
    pipe = load("Kandinsky3Pipeline")
    assert isinstance(pipe.scheduler, kandinsky.Kandinsky3Scheduler)
    request = {"height": 64, "width": 64, "num_inference_steps": 2, "output_type": "np", "seed": 1}
    first = pipe(TEXTS[0], **request).images
    pipe.convention = "diffusers"
    second = pipe(TEXTS[0], **request).images
    pipe.scheduler = kandinsky.DDPMScheduler.from_config(pipe.scheduler.config)
    third = pipe(TEXTS[0], **request).images
    assert np.abs(first - second).max() > 1e-4
    assert np.abs(second - third).max() > 1e-3
    with pytest.raises(kandinsky.KandinskyError, match="convention='mine': choose one of"):
        pipe.convention = "mine"
