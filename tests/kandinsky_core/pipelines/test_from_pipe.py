"""Pipelines made of pipelines: what they share, what is replaced, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import kandinsky_core as kandinsky
from kandinsky_core import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    DDIMScheduler,
    DiffusionPipeline,
)
from kandinsky_core.errors import InvalidInputError
from tests.kandinsky_core.pipelines import test_kandinsky3 as fakes_3
from tests.support.fakes import (
    combined_pipeline,
    decoder_components,
    image_pipeline,
    prior_components,
)


@pytest.fixture
def pipe() -> Any:
    made = combined_pipeline()
    made.origin = {"model": "m"}
    made.prior_pipe.origin = {"model": "p"}
    return made


def test_both_record_the_same_origin_and_state_of_networks(pipe: Any) -> None:
    pipe.movq.enable_tiling(16)
    pipe.enable_model_cpu_offload()
    for made in (
        AutoPipelineForImage2Image.from_pipe(pipe),
        kandinsky.KandinskyV22Img2ImgCombinedPipeline.from_pipe(pipe),
        kandinsky.KandinskyV22Pipeline.from_pipe(pipe),
    ):
        assert made.networks.items() <= pipe.networks.items()
        assert made.movq.tiling.size * made.movq.tiling.factor == 16
        assert made.unet.offloaded
        pipe.origin["lora"] = "style:1"  # merged into the weights that both have
        assert made.origin == {"model": "m", "lora": "style:1"}
    assert AutoPipelineForImage2Image.from_pipe(pipe).prior_pipe.origin == {"model": "p"}


def test_a_scheduler_is_replaced_in_the_new_pipeline_alone(pipe: Any) -> None:
    scheduler, before = DDIMScheduler(), pipe.scheduler
    made = AutoPipelineForImage2Image.from_pipe(pipe, scheduler=scheduler)
    assert (made.scheduler, pipe.scheduler) == (scheduler, before)
    assert made.origin == {"model": "m"}, "the weights are the same"


def test_other_weights_have_no_record(pipe: Any) -> None:
    inpaint = decoder_components(in_channels=9)["unet"]
    made = AutoPipelineForInpainting.from_pipe(pipe, unet=inpaint)
    assert (made.unet, made.movq, made.origin) == (inpaint, pipe.movq, {})
    assert made.prior_pipe.origin == {"model": "p"}
    other = prior_components()["prior"]
    made = AutoPipelineForImage2Image.from_pipe(pipe, prior_prior=other)
    assert (made.prior_pipe.prior, made.prior_pipe.origin) == (other, {})


def test_a_decoder_becomes_a_whole_pipeline_with_a_prior(pipe: Any) -> None:
    decoder = image_pipeline("img2img")
    prior = {name: part for name, part in pipe.components.items() if name.startswith("prior_")}
    made = AutoPipelineForImage2Image.from_pipe(decoder, **prior)
    assert (made.unet, made.prior_prior) == (decoder.unet, pipe.prior_prior)
    prior.pop("prior_image_processor")
    assert AutoPipelineForImage2Image.from_pipe(decoder, **prior).prior_image_processor is None
    prior.pop("prior_tokenizer")
    with pytest.raises(InvalidInputError, match="has no prior_tokenizer, which a KandinskyV22Img"):
        AutoPipelineForImage2Image.from_pipe(decoder, **prior)


def test_the_base_class_makes_another_of_the_same_class(pipe: Any) -> None:
    made = DiffusionPipeline.from_pipe(pipe)
    assert type(made) is type(pipe)
    assert made is not pipe
    assert made.components == pipe.components


def test_a_dtype_holds_for_both(pipe: Any) -> None:
    made = kandinsky.KandinskyV22Pipeline.from_pipe(pipe)
    assert (made.dtype, pipe.dtype) == ("float32", "float32")
    made = kandinsky.KandinskyV22Pipeline.from_pipe(pipe, torch_dtype="bfloat16")
    assert (made.dtype, pipe.dtype, pipe.movq.dtype) == ("bfloat16", "bfloat16", "float32")
    assert pipe.prior_prior.dtype == "float32", "the decoder has no prior"


def test_kandinsky_3_keeps_its_text_convention() -> None:
    pipe = fakes_3.pipeline(null_embedding=fakes_3.NULL)
    pipe.text_convention = "diffusers"
    for made in (
        kandinsky.Kandinsky3Img2ImgPipeline.from_pipe(pipe),
        AutoPipelineForImage2Image.from_pipe(pipe),
    ):
        assert made.null_embedding is not None
        assert made.text_convention == "diffusers"
    pipe.text_convention = "original"
    made = kandinsky.Kandinsky3Img2ImgPipeline.from_pipe(pipe, null_embedding=None)
    assert made.text_convention == "diffusers", "there is no other without the embedding"


@pytest.mark.parametrize(
    ("made", "given", "options", "said"),
    [
        ("KandinskyV22Pipeline", "pipe", {"vae": 1}, "does not take vae; components of Kand"),
        ("KandinskyV22Pipeline", "pipe", {"custom_pipeline": "x"}, "take custom_pipeline; comp"),
        ("KandinskyV22Pipeline", "pipe", {"torch_dtype": "int8"}, "int8"),
        ("KandinskyV22Pipeline", "text", {}, "a pipeline of this library, not a str: load one"),
        ("DiffusionPipeline", None, {}, "a pipeline of this library, not a NoneType"),
        ("AutoPipelineForText2Image", "text", {}, "takes a pipeline that makes pictures, not a s"),
        ("KandinskyV22PriorPipeline", "pipe", {}, "has no prior, image_encoder, text_encoder"),
    ],
)
def test_what_is_refused(pipe: Any, made: str, given: Any, options: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        getattr(kandinsky, made).from_pipe(pipe if given == "pipe" else given, **options)
    assert pipe.dtype == "float32"
