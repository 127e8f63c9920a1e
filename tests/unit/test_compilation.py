"""Only shapes compile; steps, seeds, prompts, guidance and schedules are data."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core import AutoPipelineForText2Image, DDIMScheduler, get_backend  # noqa: E402


@pytest.fixture(scope="module")
def pipe() -> Any:
    pipeline = AutoPipelineForText2Image.from_pretrained("shapes", backend="jax")
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


def varied_requests() -> list[dict[str, Any]]:
    """Twenty requests that differ in all that a person turns between two pictures."""
    requests = []
    for number, (prompt, steps) in enumerate(itertools.product(PROMPTS, (1, 2, 3, 4, 5))):
        requests.append(
            {
                "prompt": prompt,
                "num_inference_steps": steps,
                "prior_num_inference_steps": 6 - steps,
                "guidance_scale": 1.5 + number,
                "prior_guidance_scale": 1.1 + number / 3,
                "seed": number,
            }
        )
    return requests


def test_twenty_varied_requests_compile_one_decoder_step(
    pipe: Any, compiled_by_jax: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = pipe.decoder_pipe.unet._log
    requests = varied_requests()
    assert len(requests) == 20
    before = len(log)
    with caplog.at_level(logging.INFO, logger="kandinsky_core.compilations"):
        pipe(**requests[0], height=48, width=32)
        first = [entry.program for entry in log[before:]]
        assert first.count("UNet2DCondition guided step") == 1
        compiled_by_jax.clear()
        for number, request in enumerate(requests[1:], start=1):
            if number == 10:
                config = pipe.decoder_pipe.scheduler.config
                pipe.decoder_pipe.scheduler = DDIMScheduler.from_config(config)
            pipe(**request, height=48, width=32)
    assert [entry.program for entry in log[before:]] == first, "a second request compiled"
    assert compiled_by_jax == [], "JAX compiled something behind the log"
    steps = [r.getMessage() for r in caplog.records if "UNet2DCondition guided step" in r.message]
    assert len(steps) == 1
    assert "(1, 12, 8, 4)" in steps[0]


def test_a_new_shape_compiles_and_an_old_one_does_not_again(pipe: Any) -> None:
    log = pipe.decoder_pipe.unet._log
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


def test_backends_are_objects_of_their_own() -> None:
    first, second = get_backend("jax"), get_backend("jax")
    assert first is not second
    assert first.compilations is not second.compilations  # type: ignore[attr-defined]
