"""Kandinsky 3's pipelines against diffusers': the same integer seed gives the same picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import diffusers
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import kandinsky_core as kandinsky
from tests.backends import BACKENDS
from tests.parity import tiny

PICTURE_TOLERANCE = 1e-4
TEXTS = ("a red circle on a blue background", "a green square", "low quality", "two yellow stars")
REQUEST = {"num_inference_steps": 4, "guidance_scale": 1.5, "output_type": "np"}
SIZE = {"height": 64, "width": 128}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random weights that diffusers saved; clipping keeps the random UNet's values small."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    pipe = diffusers.Kandinsky3Pipeline(
        tokenizer=transformers.T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0),
        text_encoder=tiny.t5(tiny.T5),
        unet=tiny.kandinsky3_unet(tiny.KANDINSKY3_UNET),
        scheduler=diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=True),
        movq=tiny.movq(tiny.MOVQ_DEEP | {"latent_channels": 4, "vq_embed_dim": 4}),
    )
    path = tmp_path_factory.mktemp("kandinsky3")
    pipe.save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=BACKENDS)
def pair(folder: Path, request: pytest.FixtureRequest) -> Any:
    """Loads the reference's and our pipeline of a name."""

    def load(name: str) -> tuple[Any, Any]:
        theirs = getattr(diffusers, name).from_pretrained(folder)
        ours = getattr(kandinsky, name).from_pretrained(folder, backend=request.param)
        for pipe in (theirs, ours):
            pipe.set_progress_bar_config(disable=True)
        return theirs, ours

    return load


def check(got: Any, expected: Any) -> None:
    difference = np.abs(got - expected).max()
    print(f"max abs {difference:.1e}")  # noqa: T201 - shown by pytest -rP
    assert got.shape == expected.shape
    assert difference <= PICTURE_TOLERANCE
    assert expected.std() > 0.01, "a flat picture proves nothing"


@pytest.mark.parametrize("negative", [None, pytest.param(TEXTS[2], marks=pytest.mark.slow)])
def test_text_to_image(pair: Any, negative: str | None) -> None:
    theirs, ours = pair("Kandinsky3Pipeline")
    request = REQUEST | SIZE | {"negative_prompt": negative}
    expected = theirs(TEXTS[0], **request, generator=torch.Generator().manual_seed(7)).images
    check(ours(TEXTS[0], **request, seed=7).images, expected)


@pytest.mark.slow
def test_two_prompts_without_guidance(pair: Any) -> None:
    theirs, ours = pair("Kandinsky3Pipeline")
    request = REQUEST | SIZE | {"guidance_scale": 1.0}
    texts = list(TEXTS[:2])
    expected = theirs(texts, **request, generator=torch.Generator().manual_seed(7)).images
    check(ours(texts, **request, generator=7).images, expected)


def test_image_to_image(pair: Any) -> None:
    theirs, ours = pair("Kandinsky3Img2ImgPipeline")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    request = REQUEST | {"strength": 0.6, "image": image}
    expected = theirs(TEXTS[0], **request, generator=torch.Generator().manual_seed(7)).images
    check(ours(TEXTS[0], **request, seed=7).images, expected)


def test_saved_embeddings_stand_for_their_prompt(pair: Any) -> None:
    _, ours = pair("Kandinsky3Pipeline")
    states, mask = ours.encode_prompt(TEXTS[0])
    whole = ours(TEXTS[0], **REQUEST, **SIZE, seed=1).images
    given = ours(prompt_embeds=states, attention_mask=mask, **REQUEST, **SIZE, seed=1).images
    np.testing.assert_array_equal(given, whole)
    with pytest.raises(kandinsky.KandinskyError, match="attention_mask is missing"):
        ours(prompt_embeds=states, **REQUEST, **SIZE)
    with pytest.raises(kandinsky.KandinskyError, match="either prompt or prompt_embeds"):
        ours(**REQUEST, **SIZE)
