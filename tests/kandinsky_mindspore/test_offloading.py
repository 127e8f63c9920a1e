"""Offloading from an NPU that is not there: where weights are is known by their memory."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from kandinsky_core.checkpoints.checkpoint import Component  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_mindspore.backend import MindSporeBackend  # noqa: E402
from kandinsky_mindspore.components import denoise  # noqa: E402
from kandinsky_mindspore.components.encoders import MindSporeAutoencoder  # noqa: E402
from kandinsky_mindspore.components.turns import Turn  # noqa: E402
from tests.support.fake_npu import (  # noqa: E402
    MOVQ,
    OUTPUT,
    PRIOR,
    component,
    normal,
    prior_output,
    replace_kernel,
)
from tests.support.kandinsky3_folder import write_kandinsky3  # noqa: E402


class FakeMemory:
    """Stands in for `Tensor.move_to`, and knows which arrays are the device's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrays: list[Any] = []
        memory = self

        def move_to(self: Any, to: str, blocking: bool = True) -> Any:
            array = self.asnumpy().copy()
            if to == "Ascend":
                memory.arrays.append(array)
            else:
                assert to == "CPU"
            return ms.Tensor.from_numpy(array)

        monkeypatch.setattr(ms.Tensor, "move_to", move_to)

    def holds(self, network: Any) -> bool:
        """Whether all weights of a network are on the device; fails if only some are."""
        found = {
            any(np.shares_memory(parameter.asnumpy(), array) for array in self.arrays)
            for parameter in network._cell.get_parameters()
        }
        assert len(found) == 1
        return found.pop()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> FakeMemory:
    """The memory of an NPU."""
    replace_kernel(monkeypatch)
    return FakeMemory(monkeypatch)


def networks(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, Any]:
    turn = Turn()
    prior, movq = (
        component(monkeypatch, kind, config, npu=True, dtype="float32", turn=turn, **options)
        for kind, config in ((denoise.MindSporePrior, PRIOR), (MindSporeAutoencoder, MOVQ))
    )
    return prior, movq


def test_one_network_at_a_time_is_on_the_device(
    memory: FakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, movq = networks(monkeypatch)
    latents = normal(1, 4, 3, 5)
    expected = prior_output(prior), movq.decode(latents)
    for network in (prior, movq):
        network.offload()
        network.offload()
        assert not memory.holds(network)
    for _ in range(2):
        np.testing.assert_array_equal(prior_output(prior), expected[0])
        assert memory.holds(prior)
        assert not memory.holds(movq)
        np.testing.assert_array_equal(movq.decode(latents), expected[1])
        assert memory.holds(movq)
        assert not memory.holds(prior)
    count = len(memory.arrays)
    movq.decode(latents)
    assert len(memory.arrays) == count, "weights that are there were copied again"


def test_a_run_goes_on_after_another_network_had_its_turn(
    memory: FakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a preview is decoded between two steps."""
    prior, movq = networks(monkeypatch)
    conditioning = {
        "prompt_embeds": normal(2, 8),
        "text_encoder_hidden_states": normal(2, 5, 8),
        "text_mask": np.ones((2, 5), bool),
    }

    def result(preview: bool) -> Any:
        run = prior.begin(normal(2, 8), conditioning, 1.0)
        for timestep in (9, 4):
            run.step(timestep, OUTPUT, None)
            if preview:
                movq.decode(normal(1, 4, 3, 5))
        return run.read()

    expected = result(preview=False)
    prior.offload()
    movq.offload()
    np.testing.assert_array_equal(result(preview=True), expected)


def test_a_cast_reaches_the_copies_on_the_host(
    memory: FakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, _ = networks(monkeypatch)
    twin, _ = networks(monkeypatch)
    prior.offload()
    prior_output(prior)
    prior.to(dtype="float16")
    assert not memory.holds(prior)
    twin.to(dtype="float16")
    for _ in range(2):
        np.testing.assert_array_equal(prior_output(prior), prior_output(twin))
    assert memory.holds(prior)
    assert {parameter.dtype for parameter in prior._cell.get_parameters()} == {ms.float16}


def test_offloading_beats_compiling(
    memory: FakeMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = CompilationLog()
    prior, _ = networks(monkeypatch, log=log)
    prior.offload()
    assert "an offloaded network is not compiled" in caplog.text
    prior_output(prior)
    assert len(log) == 0
    assert memory.holds(prior)


def test_a_turn_keeps_no_network_alive(memory: FakeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, movq = networks(monkeypatch)
    for network in (prior, movq):
        network.offload()
    prior_output(prior)
    turn = prior._turn
    del prior, network
    gc.collect()
    assert turn._holder() is None
    movq.decode(normal(1, 4, 3, 5))


def test_nothing_changes_on_a_cpu(memory: FakeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = component(monkeypatch, denoise.MindSporePrior, PRIOR, npu=False, dtype="float32")
    before = [parameter.data_ptr() for parameter in prior._cell.get_parameters()]
    prior.offload()
    prior_output(prior)
    assert [parameter.data_ptr() for parameter in prior._cell.get_parameters()] == before
    assert memory.arrays == []


def test_what_is_loaded_or_streamed_finds_the_device_empty(
    memory: FakeMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The halves of a pipeline are loaded by backends of their own, which share the turn."""
    backends = [MindSporeBackend(), MindSporeBackend()]
    assert backends[0]._turn is backends[1]._turn
    turn = backends[0]._turn
    prior, movq = (
        component(monkeypatch, kind, config, npu=True, dtype="float32", turn=turn)
        for kind, config in ((denoise.MindSporePrior, PRIOR), (MindSporeAutoencoder, MOVQ))
    )
    folder = write_kandinsky3(tmp_path / "kandinsky-3") / "text_encoder"
    text_encoder = Component("text_encoder", "", "T5EncoderModel", folder)
    ids = np.ones((1, 4), np.int32)

    def streamed() -> Any:
        return encoder.encode(ids, ids > 0)

    encoder = backends[1].load_streamed(text_encoder, "float32")
    for network in (prior, movq):
        network.offload()
    for use in (lambda: backends[1].load(text_encoder, "float32"), streamed):
        expected = prior_output(prior)
        assert memory.holds(prior)
        use()
        assert not memory.holds(prior)
        np.testing.assert_array_equal(prior_output(prior), expected)
