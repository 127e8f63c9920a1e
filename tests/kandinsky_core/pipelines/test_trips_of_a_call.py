"""A call is one trip: each argument is checked once, and what is made of it is made once.

`prepare` checks and `run` computes. The counts below are of the functions that check, whoever
calls them and by whatever name.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kandinsky_core as kandinsky
from kandinsky_cli.main import main
from kandinsky_core import (
    Kandinsky3Img2ImgPipeline,
    Kandinsky3InpaintPipeline,
    Kandinsky3Pipeline,
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
    KandinskyV22Pipeline,
    read_metadata,
)
from kandinsky_core.denoising import noise
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pictures import inputs
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbedsToCome
from kandinsky_core.pipelines.shared.base import DiffusionPipeline
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.public_names import HOMES
from kandinsky_core.schedulers import DDIMScheduler, DDPMScheduler, UnCLIPScheduler
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import as_prompts
from tests.kandinsky_core.pipelines.test_kandinsky3 import UNet
from tests.kandinsky_core.pipelines.test_kandinsky3 import pipeline as kandinsky_3
from tests.support.fakes import WIDTH, combined_pipeline, decoder_components, decoder_pipeline
from tests.support.fakes_2_1 import combined as combined_2_1

GREY = Image.new("RGB", (20, 24), (128, 128, 128))
WHITE = Image.new("L", (20, 24), 255)
INPUTS: dict[str, dict[str, Any]] = {
    "text": {},
    "img2img": {"image": GREY, "strength": 1.0},
    "inpaint": {"image": GREY, "mask_image": WHITE},
}
PICTURES = {"text": {}, "img2img": {"pictures": 1}, "inpaint": {"pictures": 1, "masks": 1}}
COMBINED_2_2: dict[str, Any] = {
    "text": KandinskyV22CombinedPipeline,
    "img2img": KandinskyV22Img2ImgCombinedPipeline,
    "inpaint": KandinskyV22InpaintCombinedPipeline,
}
KANDINSKY_3: dict[str, Any] = {
    "text": Kandinsky3Pipeline,
    "img2img": Kandinsky3Img2ImgPipeline,
    "inpaint": Kandinsky3InpaintPipeline,
}
SMALL = {"height": 16, "width": 16, "num_inference_steps": 2}
TWO_HALVES = {**SMALL, "prior_num_inference_steps": 2}
SMALL_WORDS = ["--height", "16", "--width", "16", "--steps", "2", "--seed", "3"]

# What one function call counts as.
COUNTED: dict[Callable[..., Any], str] = {
    as_prompts: "texts",
    noise._as_generator: "generators",
    DecoderPipeline.plan: "plans",
    UnCLIPScheduler.schedule: "prior schedules",
    DDPMScheduler.schedule: "schedules",
    DDIMScheduler.schedule: "schedules",
    inputs._image: "pictures",
    inputs._mask: "masks",
}


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the calls of the functions in `COUNTED`."""
    names = {function.__code__: name for function, name in COUNTED.items()}
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in names:
            counts[names[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield counts
    finally:
        sys.setprofile(before)


def combined(family: str, task: str) -> Any:
    if family == "2.2":
        return combined_pipeline(COMBINED_2_2[task])
    return combined_2_1("decoder" if task == "text" else task)


@pytest.mark.parametrize("task", INPUTS)
@pytest.mark.parametrize("family", ["2.1", "2.2"])
def test_both_halves_check_each_argument_once(family: str, task: str) -> None:
    pipe = combined(family, task)
    once = {"texts": 1, "generators": 1, "plans": 1, "prior schedules": 1, "schedules": 1}
    with counting() as counts:
        pipe("ab", seed=0, **TWO_HALVES, **INPUTS[task])
    assert counts == once | PICTURES[task]
    with counting() as counts:  # the generators are a list, one for each picture
        pipe(
            "ab",
            negative_prompt="c",
            num_images_per_prompt=2,
            seed=[1, 2],
            **TWO_HALVES,
            **INPUTS[task],
        )
    assert counts == once | PICTURES[task] | {"texts": 2, "generators": 2}


@pytest.mark.parametrize("task", INPUTS)
def test_kandinsky_3_checks_each_argument_once(task: str) -> None:
    pipe = kandinsky_3(KANDINSKY_3[task])
    with counting() as counts:
        pipe("ab", negative_prompt="c", seed=0, **SMALL, **INPUTS[task])
    assert counts == {"texts": 2, "generators": 1, "plans": 1, "schedules": 1} | PICTURES[task]


def test_interpolation_checks_each_text_once() -> None:
    prior = combined_pipeline().prior_pipe
    words: list[Any] = ["a", Prompts.check("b"), GREY]  # one has been checked before
    with counting() as counts:
        prior.interpolate(words, [0.5, 0.25, 0.25], seed=0, negative_prior_prompt="c")
    runs = 3  # of "a", of "b", and of the empty negative prompt
    assert counts == {"texts": 3, "generators": 1, "prior schedules": runs}


def run_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, command: str, pipe: Any, *words: str
) -> Counter[str]:
    """Run a command that makes `a.png` with a pipeline; returns the counts."""
    monkeypatch.chdir(folder)
    GREY.save("image.png")
    WHITE.save("mask.png")
    monkeypatch.setattr(import_module(f"kandinsky_cli.commands.{command}"), "load", lambda _: pipe)
    with counting() as counts:
        assert main([command, "ab", *SMALL_WORDS, "--output", "a.png", *words]) == 0
    return counts


@pytest.mark.parametrize("family", ["2.1", "2.2", "3"])
@pytest.mark.parametrize("command", ["generate", "img2img", "inpaint"])
def test_a_command_checks_each_word_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, family: str
) -> None:
    task = "text" if command == "generate" else command
    words = ["--negative-prompt", "c"]
    words += ["--image", "image.png"] if task != "text" else []
    words += ["--mask", "mask.png"] if task == "inpaint" else []
    expected = {"texts": 2, "generators": 1, "plans": 1, "schedules": 1} | PICTURES[task]
    if family == "3":
        pipe = kandinsky_3(KANDINSKY_3[task])
    else:
        pipe = combined(family, task)
        words += ["--prior-steps", "2"]
        expected |= {"prior schedules": 1}
    if task == "img2img":
        words += ["--strength", "1"]
    counts = run_command(monkeypatch, tmp_path, command, pipe, *words)
    assert counts == expected
    metadata = read_metadata("a.png")
    found = {name: metadata[name] for name in ("prompt", "negative_prompt", "seed")}
    assert found == {"prompt": "ab", "negative_prompt": "c", "seed": 3}
    assert metadata["generator_was_fresh"] is True


@pytest.mark.parametrize("task", INPUTS)
@pytest.mark.parametrize("family", ["2.1", "2.2", "3"])
def test_a_call_is_prepare_and_run(family: str, task: str) -> None:
    make = kandinsky_3 if family == "3" else combined
    pipe = make(KANDINSKY_3[task]) if family == "3" else make(family, task)
    arguments = {**(SMALL if family == "3" else TWO_HALVES), **INPUTS[task], "output_type": "np"}
    with counting() as counts:
        request = pipe.prepare("ab", seed=4, **arguments)
        checked = Counter(counts)
        images = pipe.run(request).images
    assert counts == checked, "run checks nothing that prepare has checked"
    np.testing.assert_array_equal(images, pipe("ab", seed=4, **arguments).images)


def test_a_decoder_runs_when_the_prior_has_made_its_embeddings() -> None:
    decoder = decoder_pipeline()
    decoder.set_progress_bar_config(disable=True)
    request = decoder.prepare(EmbedsToCome(2), seed=0, num_inference_steps=2)  # type: ignore[arg-type]
    assert (request.count, request.embeds) == (2, None)
    embeds = np.ones((2, WIDTH), np.float32)
    made = decoder.with_embeds(request, embeds, embeds)
    assert len(decoder.run(made).images) == 2  # type: ignore[union-attr]
    with pytest.raises(InvalidInputError, match="embeddings are to come"):
        decoder.run(request)
    with pytest.raises(InvalidInputError, match=r"image_embeds has shape \(1, 6\), expected \(2"):
        decoder.with_embeds(request, embeds[:1], embeds[:1])


def test_prompts_that_have_been_checked_pass() -> None:
    prompts = Prompts.check(["a", "b"], "c", name="PROMPT")
    with counting() as counts:
        assert Prompts.check(prompts) is prompts
    assert not counts
    assert prompts.negatives == ["c", "c"]
    assert Prompts.check(prompts, ["d", "e"]) == Prompts(["a", "b"], ["d", "e"])
    with pytest.raises(InvalidInputError, match="negative_prompt has 1 texts for 2 prompts"):
        Prompts.check(prompts, ["d"])


PIPELINES = [
    made
    for name in HOMES
    if isinstance(made := getattr(kandinsky, name), type) and issubclass(made, DiffusionPipeline)
]


@pytest.mark.parametrize("pipeline", [made for made in PIPELINES if hasattr(made, "prepare")])
def test_help_of_a_call_says_what_every_argument_is(pipeline: Any) -> None:
    call, prepare = signature(pipeline.__call__), signature(pipeline.prepare)
    assert list(call.parameters.values()) == list(prepare.parameters.values())
    assert call.parameters["generator"].kind is Parameter.POSITIONAL_OR_KEYWORD
    for name in list(call.parameters)[1:]:
        assert pipeline.__call__.__doc__.count(f"\n    {name}: ") == 1, name
    assert "InvalidInputError: " in pipeline.__call__.__doc__


def test_every_pipeline_has_a_call_of_its_own_arguments() -> None:
    assert len([made for made in PIPELINES if hasattr(made, "prepare")]) == len(PIPELINES) - 1 > 15


def test_the_origin_of_both_halves_is_the_decoders() -> None:
    pipe = combined_pipeline()
    pipe.origin = {"model": "a"}
    assert pipe.decoder_pipe.origin is pipe.origin
    pipe.origin["lora"] = "b"
    metadata = pipe("ab", seed=0, **TWO_HALVES).metadata[0]
    assert (metadata["model"], metadata["lora"]) == ("a", "b")


def test_a_unet_of_kandinsky_3_is_none_of_kandinsky_2() -> None:
    parts = decoder_components() | {"unet": UNet()}
    said = "needs the UNet of KandinskyV22Pipeline, and this is one of Kandinsky3Pipeline"
    with pytest.raises(ConfigError, match=said):
        KandinskyV22Pipeline(**parts)
