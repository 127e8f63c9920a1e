"""Only shapes compile; steps, seeds, prompts, guidance and schedules are data."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core import (  # noqa: E402
    AutoPipelineForText2Image,
    KandinskyV22InpaintPipeline,
    get_backend,
    scheduler_by_name,
)


@pytest.fixture(scope="module")
def pipe(shallow: Path) -> Any:
    pipeline = AutoPipelineForText2Image.from_pretrained(shallow, backend="jax")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def compiled_by_jax(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of all that XLA compiles or takes from its cache, as JAX itself reports it."""
    events: list[str] = []
    listening = True  # JAX has no public way to take a listener back

    def listen(event: str, duration: float, **details: Any) -> None:
        if listening and event == "/jax/core/compile/backend_compile_duration":
            events.append(str(details.get("fun_name", "")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    listening = False


PROMPTS = ("a red circle", "SMALL green star, at the top", "", "a blue square on the left " * 9)


SCHEDULERS = ("ddpm", "ddim", "dpm++", "euler")


def varied_requests() -> list[dict[str, Any]]:
    """Twenty requests that differ in all that a person turns between two pictures."""
    requests = []
    for number, (prompt, steps) in enumerate(itertools.product(PROMPTS, (1, 2, 3, 4, 5))):
        requests.append(
            {
                "prompt": prompt,
                "negative_prompt": (None, "low quality", "")[number % 3],
                "num_inference_steps": steps,
                "prior_num_inference_steps": 6 - steps,
                "guidance_scale": 1.5 + number,
                "prior_guidance_scale": 1.1 + number / 3,
                "seed": number,
            }
        )
    return requests


def test_twenty_varied_requests_compile_each_program_once(
    pipe: Any, compiled_by_jax: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """One program for each network and shape; a negative prompt doubles the prior's rows."""
    log = pipe.unet.compilations
    assert log is pipe.prior_prior.compilations, "one backend loads both halves"
    requests = varied_requests()
    assert len(requests) == 20
    with caplog.at_level(logging.INFO, logger="kandinsky_core.compilations"):
        for number, request in enumerate(requests):
            if number % 5 == 0:
                pipe.scheduler = scheduler_by_name(SCHEDULERS[number // 5], pipe.scheduler.config)
            pipe(**request, height=48, width=32)
            if number == 1:  # with a negative prompt, where the first one had none
                compiled_by_jax.clear()
    # Another test may have kept what the image encoder gives.
    found = [entry for entry in log if entry.program != "ImageEncoder.encode"]
    assert sorted((entry.program, entry.shape) for entry in found) == [
        ("Autoencoder.decode", "(1, 4, 12, 8)"),
        ("PriorTransformer guided step", "(1, 96)"),
        ("PriorTransformer guided step", "(2, 96)"),
        ("PriorTransformer prepare", "(2, 96)"),
        ("PriorTransformer prepare", "(4, 96)"),
        ("TextEncoder.encode", "(1, 40)"),
        ("UNet2DCondition guided step", "(1, 12, 8, 4)"),
        ("UNet2DCondition prepare", "(2, 96)"),
    ]
    assert compiled_by_jax == [], "JAX compiled something behind the log, or one request anew"
    steps = [r.getMessage() for r in caplog.records if "UNet2DCondition guided step" in r.message]
    assert len(steps) == 1
    assert "(1, 12, 8, 4)" in steps[0]


def test_after_a_restart_twenty_varied_requests_trace_nothing(pipe: Any, shallow: Path) -> None:
    """Another backend object finds all programs on the disk, as another process does."""
    size = {"height": 48, "width": 32, "output_type": "np"}
    requests = varied_requests()
    expected = [pipe(**request, **size).images for request in requests[:2]]
    backend: Any = get_backend("jax")
    again: Any = AutoPipelineForText2Image.from_pretrained(shallow, backend=backend)
    again.set_progress_bar_config(disable=True)
    again.scheduler = pipe.scheduler  # the last one of another test
    events: list[str] = []
    listening = True

    def listen(event: str, _: float, **__: Any) -> None:
        if listening and event.startswith("/jax/core/compile/"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        found = [again(**request, **size).images for request in requests]
    finally:
        listening = False
    assert events == []
    assert len(backend.compilations) == 8, "all but the image encoder, which no text needs"
    assert all(entry.cached for entry in backend.compilations)
    np.testing.assert_array_equal(found[:2], expected)


def test_a_new_shape_compiles_and_an_old_one_does_not_again(pipe: Any) -> None:
    log = pipe.decoder_pipe.unet.compilations
    embeds = np.zeros((1, pipe.decoder_pipe.unet.config.encoder_hid_dim), np.float32)

    def compiled(size: int, guidance: float) -> int:
        before = len(log)
        pipe.decoder_pipe(
            embeds,
            embeds,
            height=size,
            width=size,
            guidance_scale=guidance,
            num_inference_steps=1,
            output_type="latent",
        )
        return sum("step" in entry.program for entry in log[before:])

    assert [compiled(16, 2), compiled(16, 3), compiled(20, 2), compiled(32, 2)] == [1, 0, 1, 0]
    assert [compiled(16, 1), compiled(16, 0), compiled(16, 2)] == [1, 0, 0]


def varied_picture_requests() -> list[dict[str, Any]]:
    """Twenty requests with other pictures, masks, embeddings and seeds."""
    rng = np.random.default_rng(0)
    requests = []
    for number in range(20):
        mask = np.zeros((48, 32), np.float32)
        mask[: 3 + 2 * number, number:] = 1
        picture = rng.integers(0, 256, (20 + number, 50 - number, 3), np.uint8)
        embeds, negative = rng.standard_normal((2, 1, 96), np.float32)
        requests.append(
            {
                "image_embeds": embeds,
                "negative_image_embeds": negative,
                "num_inference_steps": 5 - number % 2,
                "guidance_scale": 1.5 + number,
                "seed": number,
                "image": picture,
                "mask_image": mask,
            }
        )
    return requests


def test_twenty_varied_requests_with_pictures_compile_one_step(
    compiled_by_jax: list[str], shallow: Path
) -> None:
    pipe = KandinskyV22InpaintPipeline.from_pretrained(shallow, backend="jax")
    pipe.set_progress_bar_config(disable=True)
    log, requests = pipe.unet.compilations, varied_picture_requests()
    pipe(**requests[0], height=48, width=32)
    first = [(entry.program, entry.shape) for entry in log]
    assert len(set(first)) == len(first)
    assert [name for name, _ in first].count("UNet2DCondition guided step") == 1
    compiled_by_jax.clear()
    for request in requests[1:]:
        pipe(**request, height=48, width=32)
    assert [(entry.program, entry.shape) for entry in log] == first, "a second request compiled"
    assert compiled_by_jax == [], "JAX compiled something behind the log"


def test_backends_are_objects_of_their_own() -> None:
    first, second = get_backend("jax"), get_backend("jax")
    assert first is not second
    assert first.compilations is not second.compilations  # type: ignore[attr-defined]
