"""Several models in one server: which of them are loaded."""

from __future__ import annotations

from typing import Any

import pytest

from kandinsky_core.errors import DeviceMemoryError
from kandinsky_server.requests.picture_request import PictureRequest
from kandinsky_server.work.engine import Row
from kandinsky_server.work.model_pool import ModelPool
from tests.support.fake_engine import FakeEngine


def row(model: str) -> Row:
    options = {"num_inference_steps": 1, "guidance_scale": 1.0}
    request = PictureRequest(
        task="text2image", model=model, height=8, width=8, seeds=(0,), options=options
    )
    return Row(request, 0)


def test_the_one_used_longest_ago_is_dropped() -> None:
    engines = {name: FakeEngine() for name in "abc"}
    pool = ModelPool(engines, 2)
    for name in "abacb":
        assert pool.run([row(name)], lambda step: False)
    assert {name: engine.released for name, engine in engines.items()} == {"a": 1, "b": 1, "c": 0}


def test_one_makes_room_where_memory_does_not_suffice() -> None:
    class Full(FakeEngine):
        def run(self, *given: Any) -> Any:
            if not engines["a"].released:
                raise DeviceMemoryError("full")
            return super().run(*given)

    engines = {"a": FakeEngine(), "b": Full()}
    pool = ModelPool(engines, None)
    pool.run([row("a")], lambda step: False)
    assert pool.run([row("b")], lambda step: False)
    engines["a"].released = 0
    with pytest.raises(DeviceMemoryError):
        pool.run([row("b")], lambda step: False)
