"""After `pipeline.compile` a call compiles nothing on JAX; what the cache held is told apart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

from jax.experimental.compilation_cache.compilation_cache import reset_cache  # noqa: E402

import kandinsky_core as kandinsky  # noqa: E402
from kandinsky_core import AutoPipelineForText2Image, get_backend  # noqa: E402
from kandinsky_core.seam.compile_only import compile_only  # noqa: E402

SIZE = {"height": 16, "width": 32}
PICTURE = np.zeros((9, 13, 3), np.uint8)
EMBEDS = np.ones((2, 1, 96), np.float32)
OF_TASK: dict[str, dict[str, Any]] = {
    "KandinskyV22Pipeline": {},
    "KandinskyV22Img2ImgPipeline": {"image": PICTURE, "strength": 0.7},
    "KandinskyV22InpaintPipeline": {"image": PICTURE, "mask_image": np.ones((5, 5), bool)},
    "KandinskyV22ControlnetPipeline": {"hint": PICTURE},
    "KandinskyV22ControlnetImg2ImgPipeline": {"hint": PICTURE, "image": PICTURE},
}
NOT_SLOW = "KandinskyV22Img2ImgPipeline"


@pytest.fixture(scope="module")
def backend() -> Any:
    """One backend for all, whose networks share their programs."""
    return get_backend("jax")


@pytest.fixture
def load(shallow: Path) -> Callable[[str, Any], Any]:
    def loaded(name: str, backend: Any) -> Any:
        pipe = getattr(kandinsky, name).from_pretrained(shallow, backend=backend)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return loaded


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == NOT_SLOW else pytest.mark.slow) for name in OF_TASK],
)
def test_decoders(name: str, backend: Any, load: Callable[[str, Any], Any]) -> None:
    pipe, log = load(name, backend), backend.compilations
    pipe.compile(16, 32, 2)
    before = len(log)
    embeds = dict(zip(("image_embeds", "negative_image_embeds"), EMBEDS, strict=True))
    for steps in (5, 6):
        request = {**OF_TASK[name], **SIZE, "num_inference_steps": steps, "seed": steps}
        pipe(**embeds, **request, num_images_per_prompt=2, output_type="np")
    assert log[before:] == []
    assert pipe.compile(16, 32, 2) == []


def test_a_combined_pipeline_and_its_picture(backend: Any, load: Callable[[str, Any], Any]) -> None:
    """The programs compiled ahead are those that calls use, and compiling changes no network."""
    pipe, log = load("KandinskyV22CombinedPipeline", backend), backend.compilations
    found = pipe.compile(16, 32)
    assert {entry.program for entry in found} >= {
        "TextEncoder.encode",
        "ImageEncoder.encode",
        "PriorTransformer guided step",
    }
    assert all(entry.seconds > 0 for entry in found)
    before = len(log)
    request = {**SIZE, "num_inference_steps": 2, "prior_num_inference_steps": 2, "seed": 3}
    pictures = [
        pipe("a red circle", negative_prompt=negative, **request, output_type="np").images
        for negative in (None, "blue")
    ]
    assert log[before:] == []
    other = load("KandinskyV22CombinedPipeline", get_backend("jax"))
    expected = other("a red circle", negative_prompt="blue", **request, output_type="np")
    np.testing.assert_array_equal(pictures[1], expected.images)


@pytest.mark.slow(seconds=8)
def test_no_weight_is_read_to_compile(
    backend: Any, monkeypatch: pytest.MonkeyPatch, load: Callable[[str, Any], Any]
) -> None:
    """And the programs are those of networks that are there, kept on the host or not."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("weights were read")

    with monkeypatch.context() as patch, compile_only():
        patch.setattr("kandinsky_jax.weights.later_weights.load_weights", refuse)
        bare = load("KandinskyV22CombinedPipeline", backend)
        bare.enable_model_cpu_offload()
    bare.compile(16, 32, negative_prompt=False)
    before = len(backend.compilations)
    pipe = load("KandinskyV22CombinedPipeline", backend)
    request = {"num_inference_steps": 2, "prior_num_inference_steps": 2, "seed": 3}
    pipe("a red circle", **SIZE, **request)
    pipe.enable_model_cpu_offload()
    assert pipe.compile(16, 32, negative_prompt=False) == []
    pipe("a red circle", **SIZE, **request)
    assert backend.compilations[before:] == []


def test_another_threads_call_computes_meanwhile(
    backend: Any, load: Callable[[str, Any], Any]
) -> None:
    pipe = load("KandinskyV22Pipeline", backend)
    request = {**SIZE, "num_inference_steps": 1, "output_type": "latent", "seed": 0}
    found: list[Any] = []
    with compile_only():
        thread = threading.Thread(target=lambda: found.append(pipe(*EMBEDS, **request).images))
        thread.start()
        thread.join()
        assert not pipe(*EMBEDS, **request).images.any()
    assert np.abs(found[0]).max() > 0.1


def test_programs_are_shared_by_what_differs_in_weights_alone(
    backend: Any, load: Callable[[str, Any], Any]
) -> None:
    request = {**SIZE, "num_inference_steps": 1, "output_type": "latent", "seed": 0}
    first, second = (load("KandinskyV22Pipeline", backend) for _ in range(2))
    expected = first(*EMBEDS, **request).images
    before = len(backend.compilations)
    name = "conv_in.weight"
    second.unet.update_weights({name: 2 * second.unet.read_weights([name])[name]})
    assert np.abs(second(*EMBEDS, **request).images - expected).max() > 1e-3
    assert backend.compilations[before:] == []
    second.to("bfloat16")  # has programs of its own from here on
    second(*EMBEDS, **request)
    assert {entry.program for entry in backend.compilations[before:]} == {
        "UNet2DCondition prepare",
        "UNet2DCondition guided step",
    }
    np.testing.assert_array_equal(first(*EMBEDS, **request).images, expected)


def test_the_cache_is_told_from_the_compiler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    reset_cache()
    try:
        with caplog.at_level(logging.INFO, logger="kandinsky_core.compilations"):
            for cached in (False, True):
                with compile_only():
                    prior = kandinsky.KandinskyV22PriorPipeline.from_pretrained(
                        "shapes", backend=get_backend("jax")
                    )
                ids, _ = prior.tokenizer(["a"])
                with compile_only():
                    prior.text_encoder.encode(ids)
                assert [entry.cached for entry in prior.text_encoder.compilations] == [cached]
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        reset_cache()
    said = [record.getMessage().split(" for ")[0] for record in caplog.records]
    assert said == ["compiled TextEncoder.encode", "took from the cache TextEncoder.encode"]


def test_auto_pipelines_have_it_too() -> None:
    with compile_only():
        pipe = AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
    with pytest.raises(kandinsky.KandinskyError, match="heights=0"):
        pipe.compile(0)
