"""A cancel belongs to one call, and a request is run once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest

from kandinsky_cli.repeat_command import command_for
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.requests import CallRequest
from tests.support.fakes import WIDTH, combined_pipeline, decoder_pipeline

EMBEDS: tuple[Any, Any] = (np.ones((1, WIDTH)), np.zeros((1, WIDTH)))
STEPS = {"num_inference_steps": 6, "output_type": "np"}


@pytest.fixture
def decoder() -> Any:
    pipe = decoder_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Meeting:
    """Two calls that are under way at once: each waits in its first step for the other."""

    def __init__(self, pipe: Any, stop: Callable[[str, Any], None]) -> None:
        self.pipe, self._stop = pipe, stop
        self.both, self.stopped = threading.Barrier(2, timeout=20), threading.Barrier(2, timeout=20)
        self.requests: dict[str, Any] = {}

    def call(self, name: str) -> Any:
        def callback(pipe: Any, index: int, timestep: int, values: Any) -> None:
            if index == 1:
                self.both.wait()
                self._stop(name, self)
                self.stopped.wait()

        request = self.pipe.prepare(*EMBEDS, **STEPS, seed=3, callback_on_step_end=callback)
        self.requests[name] = request
        return self.pipe.run(request)

    def hold(self) -> dict[str, Any]:
        with ThreadPoolExecutor(2) as pool:
            calls = {name: pool.submit(self.call, name) for name in ("a", "b")}
            return {name: call.result() for name, call in calls.items()}


def by_method(name: str, meeting: Meeting) -> None:
    if name == "a":
        meeting.pipe.interrupt()


def by_attribute(name: str, meeting: Meeting) -> None:
    if name == "a":
        meeting.pipe._interrupt = True
        assert meeting.pipe._interrupt
    else:
        assert meeting.pipe._interrupt is False


def by_request_of_another(name: str, meeting: Meeting) -> None:
    if name == "b":
        meeting.requests["a"].interrupt()


@pytest.mark.parametrize("stop", [by_method, by_attribute, by_request_of_another])
def test_of_two_calls_under_way_one_is_stopped(decoder: Any, stop: Any) -> None:
    alone = decoder(*EMBEDS, **STEPS, seed=3)
    made = Meeting(decoder, stop).hold()
    assert made["a"].interrupted == {"steps": 2, "of": 6} == made["a"].metadata[0]["interrupted"]
    assert made["b"].interrupted is None
    assert "interrupted" not in made["b"].metadata[0]
    np.testing.assert_array_equal(made["b"].images, alone.images)
    assert made["b"].metadata == alone.metadata


def test_another_thread_stops_all_calls_under_way_and_none_that_starts_later(decoder: Any) -> None:
    later: list[Any] = []

    def stop(name: str, meeting: Meeting) -> None:
        if name == "a":
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(decoder.interrupt).result()
                later.append(elsewhere.submit(decoder, *EMBEDS, **STEPS, seed=3).result())

    made = Meeting(decoder, stop).hold()
    assert {output.interrupted["steps"] for output in made.values()} == {2}
    assert later[0].interrupted is None
    np.testing.assert_array_equal(later[0].images, decoder(*EMBEDS, **STEPS, seed=3).images)


def test_a_request_is_stopped_before_it_runs(decoder: Any) -> None:
    request = decoder.prepare(*EMBEDS, **STEPS)
    request.interrupt()
    assert decoder.run(request).interrupted == {"steps": 1, "of": 6}


def test_a_call_is_stopped_while_its_arguments_are_checked(
    decoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = decoder.check_embeds

    def slow(*arguments: Any) -> Any:
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(decoder.interrupt).result()
        return check(*arguments)

    monkeypatch.setattr(decoder, "check_embeds", slow)
    assert decoder(*EMBEDS, **STEPS).interrupted == {"steps": 1, "of": 6}


def test_nothing_under_way_is_nothing_to_stop(decoder: Any) -> None:
    decoder.interrupt()
    decoder._interrupt = True
    assert decoder._interrupt is False
    assert decoder(*EMBEDS, **STEPS).interrupted is None


def test_a_callback_takes_its_request_to_stop_back(decoder: Any) -> None:
    def callback(pipe: Any, index: int, timestep: int, values: Any) -> None:
        pipe._interrupt = True
        pipe._interrupt = False

    assert decoder(*EMBEDS, **STEPS, callback_on_step_end=callback).interrupted is None


def test_to_reset_the_flag_before_a_call_leaves_other_calls_stopped(decoder: Any) -> None:
    def stop(name: str, meeting: Meeting) -> None:
        meeting.requests[name].interrupt()
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(setattr, decoder, "_interrupt", False).result()

    made = Meeting(decoder, stop).hold()
    assert all(output.interrupted == {"steps": 2, "of": 6} for output in made.values())


def test_a_call_within_a_callback_is_a_call_of_its_own(decoder: Any) -> None:
    inner: list[Any] = []

    def callback(pipe: Any, index: int, timestep: int, values: Any) -> None:
        if index == 1:
            pipe.interrupt()
            inner.append(pipe(*EMBEDS, **STEPS))

    assert decoder(*EMBEDS, **STEPS, callback_on_step_end=callback).interrupted["steps"] == 2
    assert inner[0].interrupted is None


def test_a_context_that_outlives_its_call_stops_nothing(decoder: Any) -> None:
    kept: list[Any] = []
    decoder(*EMBEDS, **STEPS, callback_on_step_end=lambda *_: kept.append(copy_context()))

    def callback(pipe: Any, index: int, timestep: int, values: Any) -> None:
        kept[0].run(pipe.interrupt)

    assert decoder(*EMBEDS, **STEPS, callback_on_step_end=callback).interrupted is None


def test_stopped_in_its_last_step_a_picture_is_complete(decoder: Any) -> None:
    def callback(pipe: Any, index: int, timestep: int, values: Any) -> None:
        if index == 5:
            pipe.interrupt()

    output = decoder(*EMBEDS, **STEPS, callback_on_step_end=callback)
    assert output.interrupted is None
    assert "interrupted" not in output.metadata[0]


def test_a_prior_that_was_stopped_shows_in_the_picture() -> None:
    pipe = combined_pipeline()

    def callback(half: Any, index: int, timestep: int, values: Any) -> None:
        if index == 2:
            half.interrupt()

    arguments = {**STEPS, "prior_callback_on_step_end": callback}
    output = pipe("a", **arguments)
    expected = {"steps": 1, "of": 6, "prior": {"steps": 3, "of": 25}}
    assert output.interrupted == output.metadata[0]["interrupted"] == expected
    output = pipe("a", **(arguments | {"num_inference_steps": 1}))
    assert output.interrupted == output.metadata[0]["interrupted"] == {"prior": expected["prior"]}
    with_picture = {"program": "kandinsky generate", "prompt": "a"}
    assert command_for(with_picture) is not None
    assert command_for({**with_picture, **output.metadata[0]}) is None


def test_the_prior_alone_says_that_it_was_stopped() -> None:
    prior = combined_pipeline().prior_pipe
    stop = {"callback_on_step_end": lambda pipe, *_: pipe.interrupt()}
    assert prior("a", **stop).interrupted == {"steps": 1, "of": 25}
    assert prior("a").interrupted is None
    assert prior("a", **stop, return_dict=False) is not None


def test_an_interpolation_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = combined_pipeline().prior_pipe
    encode = prior.text_encoder.encode

    def stopping(ids: Any) -> Any:
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(prior.interrupt).result()
        return encode(ids)

    monkeypatch.setattr(prior.text_encoder, "encode", stopping)
    mixed = prior.interpolate(["a", "b"], [0.5, 0.5])
    assert [len(run.timesteps) for run in prior.prior.runs] == [1, 1, 1]
    assert mixed.interrupted == {"steps": 1, "of": 25}


def requests() -> list[tuple[Any, CallRequest[Any]]]:
    decoder, pipe = decoder_pipeline(), combined_pipeline()
    return [
        (decoder, decoder.prepare(*EMBEDS, **STEPS)),  # type: ignore[arg-type]
        (pipe, pipe.prepare("a", **STEPS)),
        (pipe.prior_pipe, pipe.prior_pipe.prepare("a")),
    ]


@pytest.mark.parametrize("kind", range(3), ids=["decoder", "combined", "prior"])
def test_a_second_run_of_a_request_is_refused(kind: int) -> None:
    pipe, request = requests()[kind]
    spare = copy.deepcopy(request)
    first = pipe.run(request)
    with pytest.raises(InvalidInputError, match=r"request has been run.*prepare another one"):
        pipe.run(request)
    with pytest.raises(InvalidInputError, match="request has been run"):
        pipe.run(copy.deepcopy(request))
    np.testing.assert_array_equal(pipe.run(spare)[0], first[0])


def test_a_half_of_a_request_that_was_run_is_refused() -> None:
    pipe = combined_pipeline()
    request = pipe.prepare("a", **STEPS)
    pipe.run(request)
    with pytest.raises(InvalidInputError, match="request has been run"):
        pipe.prior_pipe.run(request.prior)


def test_of_many_threads_that_run_a_request_one_does(decoder: Any) -> None:
    request, start = decoder.prepare(*EMBEDS, **STEPS), threading.Barrier(8)

    def run(_: int) -> bool:
        start.wait()
        try:
            decoder.run(request)
        except InvalidInputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(8))) == 1
