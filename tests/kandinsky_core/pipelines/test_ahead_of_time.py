"""`pipeline.compile`: which calls it makes, and what it returns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from kandinsky_core.denoising.progress_bars import progress
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.on_demand_encoder import OnDemandTextEncoder
from kandinsky_core.pipelines.kandinsky2_2.combined_image import (
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compile_only, compiling_only
from tests.support.fakes import (
    DECODERS,
    FakeNetwork,
    combined_pipeline,
    emb2emb_pipeline,
    image_pipeline,
)


def logged(pipeline: Any) -> Any:
    """Let the pipeline's networks say that they compile."""
    log = CompilationLog()
    for network in pipeline.networks.values():
        network.compilations = log
    return pipeline


def runs(denoiser: Any) -> list[tuple[tuple[int, ...], bool]]:
    """The sample's shape of each run of a fake, and whether it was guided."""
    return [(run.sample.shape, run.scale > 1) for run in denoiser.runs]


def test_every_combination_is_called_once_with_one_step_each() -> None:
    pipe = logged(image_pipeline("decoder"))
    assert pipe.compile((16, 30), [8], (1, 3), guidance=(True, False)) == []  # fakes log nothing
    shapes = [(count, 4, height, 4) for height in (4, 8) for count in (1, 3)]
    assert runs(pipe.unet) == [(shape, guided) for shape in shapes for guided in (True, False)]
    assert all(len(run.timesteps) == 1 for run in pipe.unet.runs)


def test_defaults_are_those_of_the_call() -> None:
    pipe = logged(combined_pipeline())
    pipe.compile()
    assert runs(pipe.unet) == [((1, 4, 4, 4), True)] * 2
    assert runs(pipe.prior_prior) == [((1, 6), True), ((2, 6), True)], "with a negative prompt too"
    pipe.compile(negative_prompt=False, prior_guidance=(False, True))
    assert runs(pipe.prior_prior)[2:] == [((1, 6), False), ((1, 6), True)]


@pytest.mark.parametrize("task", DECODERS)
def test_decoders(task: str) -> None:
    pipe = logged(image_pipeline(task))
    pipe.compile(16, 30, 2)
    assert runs(pipe.unet) == [((2, 4, 4, 8), True)]
    kept = pipe.unet.runs[0].kept
    assert (kept is not None) == (task == "inpaint")


@pytest.mark.parametrize(
    "kind", [KandinskyV22Img2ImgCombinedPipeline, KandinskyV22InpaintCombinedPipeline]
)
def test_combined_pipelines_with_pictures(kind: Any) -> None:
    pipe = logged(combined_pipeline(kind))
    pipe.compile(16, 30, 2, negative_prompt=False)
    assert (runs(pipe.prior_prior), runs(pipe.unet)) == (
        [((2, 6), True)],
        [((2, 4, 4, 8), True)],
    )


def test_the_prior_takes_no_size() -> None:
    pipe = logged(emb2emb_pipeline())
    pipe.compile(batch_sizes=range(1, 3), guidance=False, negative_prompt=True)
    assert runs(pipe.prior) == [((2, 6), False), ((4, 6), False)]
    with pytest.raises(InvalidInputError, match="heights: a KandinskyV22PriorEmb2Emb"):
        pipe.compile(512)
    with pytest.raises(InvalidInputError, match="takes no prior_guidance_scale, leave it out"):
        pipe.compile(prior_guidance=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"heights": 0}, "heights=0: give a whole number of at least 1"),
        ({"heights": "64"}, "heights='64': give a whole number"),
        ({"widths": [64, 64.5]}, "widths=64.5: give a whole number"),
        ({"batch_sizes": []}, "batch_sizes is empty: give at least one value"),
        ({"batch_sizes": (1, True)}, "batch_sizes=True"),
        ({"guidance": 4.0}, "guidance=4.0: give True, False or both"),
        ({"negative_prompt": "ugly"}, "negative_prompt='ugly': give True, False or both"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], said: str) -> None:
    pipe = combined_pipeline()
    with pytest.raises(InvalidInputError) as caught:
        pipe.compile(**arguments)
    assert said in str(caught.value)
    assert pipe.unet.runs == []


def test_a_backend_that_does_not_compile_is_not_called() -> None:
    pipe = combined_pipeline()
    assert pipe.compile() == []
    assert pipe.unet.runs == pipe.prior_prior.runs == []


def test_what_the_networks_log_is_returned_once() -> None:
    pipe = logged(combined_pipeline())
    first, second = CompilationLog(), CompilationLog()
    first.add("before", "(1,)", 1.0)
    pipe.prior_prior.compilations, pipe.unet.compilations = first, second
    begin = pipe.unet.begin

    def compiles(*arguments: Any, **options: Any) -> Any:
        second.add("step", str(arguments[0].shape), 2.0, cached=True)
        return begin(*arguments, **options)

    pipe.unet.begin = compiles
    found = pipe.compile(negative_prompt=False)
    assert [(entry.program, entry.shape, entry.cached) for entry in found] == [
        ("step", "(1, 4, 4, 4)", True)
    ]


def test_the_mode_ends_and_is_the_threads_own() -> None:
    seen: list[bool] = []
    with compile_only():
        thread = threading.Thread(target=lambda: seen.append(compiling_only()))
        thread.start()
        thread.join()
        seen.append(compiling_only())
    assert seen == [False, True]
    assert not compiling_only()
    pipe = logged(image_pipeline("decoder"))
    pipe.unet.begin = None
    with pytest.raises(TypeError):
        pipe.compile()
    assert not compiling_only()


def test_no_bars_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with compile_only(), progress(5, {"disable": False}) as advance:
        advance()
    assert capsys.readouterr().err == ""


def test_an_encoder_on_demand_remembers_nothing_of_it() -> None:
    calls: list[str] = []

    class Encoder(FakeNetwork):
        def encode(self, input_ids: Any, attention_mask: Any) -> Any:
            value = 0.0 if compiling_only() else 1.0
            return np.full((*input_ids.shape, 2), value, np.float32)

    def load(dtype: str, device: str) -> Any:
        calls.append(dtype)
        return Encoder()

    encoder = OnDemandTextEncoder(Encoder(), load)  # type: ignore[arg-type]
    ids = np.ones((2, 3), np.int32)
    with compile_only():
        assert not encoder.encode(ids, ids > 0).any()
    assert encoder.encode(ids, ids > 0).all()
    with compile_only():
        encoder.encode(ids, ids > 0)
    assert len(calls) == 3, "also for a text that is remembered"
