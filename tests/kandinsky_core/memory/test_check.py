"""A device that would not hold the weights is refused before any are read, with three ways out."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kandinsky_core import (
    AutoPipelineForText2Image,
    Kandinsky3Pipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import BackendUnavailableError, DeviceMemoryError
from kandinsky_core.memory.plan import ComponentMemory, MemoryPlan
from kandinsky_core.seam.backend import DeviceMemory
from tests.support.fakes import FakeNetwork
from tests.support.kandinsky3_folder import write_kandinsky3

FLOAT = {"prior": 13_382_656, "decoder": 18_885_596}  # bytes of the embedded halves in float32
LARGEST = 15_721_888  # the decoder's UNet


@dataclass
class Accelerator:
    """A backend whose devices have so much memory; it notes what is loaded, and loads nothing."""

    total: int
    host: bool = False
    filled_by_load: bool = True
    one_at_a_time: bool = False
    name: str = "accelerator"
    loaded: list[tuple[str, str, str | None]] = field(default_factory=list)
    networks: list[FakeNetwork] = field(default_factory=list)

    def memory(self, device: str | None = None) -> DeviceMemory:
        if device == "gpu:9":
            raise BackendUnavailableError("no device 'gpu:9'")
        return DeviceMemory(
            device=device or "gpu:0",
            total=self.total,
            free=0,
            host=self.host or device == "cpu",
            filled_by_load=self.filled_by_load,
        )

    def load(self, source: Any, dtype: str, device: str | None = None) -> Any:
        assert all(network.offloaded for network in self.networks) or not self.one_at_a_time
        self.loaded.append((source.name, dtype, device))
        made = FakeNetwork()
        made.config = NETWORKS[source.class_name].config.from_dict(source.config)  # type: ignore[assignment]
        made.device = device or "gpu:0"
        self.networks.append(made)
        return made

    def load_streamed(self, source: Any, dtype: str, device: str | None = None) -> Any:
        return self.load(source, dtype, device)


@pytest.fixture(scope="module")
def kandinsky3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kandinsky3(tmp_path_factory.mktemp("models") / "kandinsky-3")


def sizes(folder: Path) -> dict[str, ComponentMemory]:
    return {
        name: ComponentMemory.of(name, component, "float32")
        for name, component in Checkpoint.open(folder).components.items()
        if component.class_name in NETWORKS
    }


def refusal(pipeline: Any, model: Any, backend: Accelerator, **options: Any) -> str:
    with pytest.raises(DeviceMemoryError) as caught:
        pipeline.from_pretrained(model, backend=backend, **options)
    assert backend.loaded == []
    text = str(caught.value)
    assert "\n" not in text
    return text


def ways(text: str) -> list[str]:
    """What is to be given instead."""
    return re.split(r", or ", text.split(": give ")[1])


def test_both_halves_are_counted_together() -> None:
    """Each of them alone would fit."""
    both = FLOAT["prior"] + FLOAT["decoder"]
    for half, size in FLOAT.items():
        plan = MemoryPlan(tuple(sizes(EMBEDDED["shapes"] / half).values()))
        assert plan.ever == size
    text = refusal(AutoPipelineForText2Image, "shapes", Accelerator(both - 1))
    assert text.startswith("the weights take 30.8 MiB at once on gpu:0, which has 30.8 MiB (unet ")
    assert "prior_text_encoder 2.2 MiB in float32" in text
    assert ways(text) == [
        "dtype='bfloat16' (16.9 MiB)",
        "offload=True, which keeps one network at a time there (15.0 MiB)",
        "dtype='bfloat16' with offload=True (7.5 MiB)",
    ]
    backend = Accelerator(both)
    AutoPipelineForText2Image.from_pretrained("shapes", backend=backend)
    assert len(backend.loaded) == 5


def test_a_half_alone() -> None:
    text = refusal(KandinskyV22PriorPipeline, "shapes", Accelerator(FLOAT["prior"] - 1))
    assert "dtype='bfloat16'" in text
    KandinskyV22PriorPipeline.from_pretrained("shapes", backend=Accelerator(FLOAT["prior"]))


@pytest.mark.parametrize("pipeline", [AutoPipelineForText2Image, KandinskyV22PriorPipeline])
def test_what_it_says_helps(pipeline: Any) -> None:
    for options in ({"dtype": "bfloat16"}, {"torch_dtype": "float16"}, {"offload": True}):
        backend = Accelerator(18 * 2**20 if pipeline is AutoPipelineForText2Image else 2**23)
        refusal(pipeline, "shapes", backend)
        backend.one_at_a_time = "offload" in options
        pipeline.from_pretrained("shapes", backend=backend, **options)
        assert len(backend.loaded) == (5 if pipeline is AutoPipelineForText2Image else 3)
        assert all(network.offloaded == ("offload" in options) for network in backend.networks)


def test_where_one_network_is_too_much() -> None:
    backend = Accelerator(LARGEST // 2 + 2**20)
    text = refusal(AutoPipelineForText2Image, "shapes", backend, offload=True)
    assert text.startswith("the weights take 15.0 MiB at once on gpu:0, which has 8.5 MiB")
    assert ways(text) == [
        "dtype='bfloat16' (7.5 MiB)",
        "device='cpu'",
        "a device with more than 15.0 MiB",
    ]
    text = refusal(AutoPipelineForText2Image, "shapes", Accelerator(1), dtype="bfloat16")
    assert ways(text) == ["device='cpu'", "a device with more than 16.9 MiB", "a smaller model"]


def test_the_host_is_never_refused() -> None:
    for backend, device in ((Accelerator(1, host=True), None), (Accelerator(1), "cpu")):
        AutoPipelineForText2Image.from_pretrained("shapes", backend=backend, device=device)
        assert len(backend.loaded) == 5


def test_components_may_be_on_several_devices() -> None:
    backend = Accelerator(LARGEST)
    devices = {"unet": "gpu:0", "default": "gpu:1"}
    KandinskyV22Pipeline.from_pretrained("shapes", backend=backend, device=devices)
    assert {name: device for name, _, device in backend.loaded} == {
        "unet": "gpu:0",
        "movq": "gpu:1",
    }
    text = refusal(KandinskyV22Pipeline, "shapes", Accelerator(LARGEST - 1), device=devices)
    assert "on gpu:0, which has 15.0 MiB (unet 15.0 MiB in float32)" in text


def test_what_is_ready_does_not_count() -> None:
    backend = Accelerator(LARGEST)
    ready: Any = FakeNetwork(latent_channels=4, block_out_channels=(1, 1))
    refusal(KandinskyV22Pipeline, "shapes", backend)
    KandinskyV22Pipeline.from_pretrained("shapes", backend=backend, movq=ready)
    assert [name for name, *_ in backend.loaded] == ["unet"]


def test_a_device_that_is_not_there_is_named_before_anything_is_loaded() -> None:
    backend = Accelerator(2**40)
    with pytest.raises(BackendUnavailableError, match="gpu:9"):
        AutoPipelineForText2Image.from_pretrained("shapes", backend=backend, device="gpu:9")
    assert backend.loaded == []


def test_kandinsky_3_is_refused_for_what_it_loads(
    kandinsky3: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = sizes(kandinsky3)
    unet, text_encoder = parts["unet"].size, parts["text_encoder"].size
    total = sum(part.size for part in parts.values())
    options: dict[str, Any] = {"tokenizer": None}
    text = refusal(
        Kandinsky3Pipeline,
        kandinsky3,
        Accelerator(total - 1),
        text_encoder_loading="resident",
        **options,
    )
    assert [way.split(" (")[0] for way in ways(text)] == [
        "dtype='bfloat16'",
        "text_encoder_loading='on_demand', which keeps one network at a time there",
        "text_encoder_loading='streamed'",
    ]
    for loading in ("on_demand", "streamed"):
        backend = Accelerator(unet - 1)
        text = refusal(
            Kandinsky3Pipeline, kandinsky3, backend, text_encoder_loading=loading, **options
        )
        assert ways(text)[0].startswith("dtype='bfloat16'")
        backend.total = unet
        Kandinsky3Pipeline.from_pretrained(
            kandinsky3, backend=backend, text_encoder_loading=loading, **options
        )
    assert text_encoder < unet
    assert caplog.text == ""


def test_a_text_encoder_that_is_loaded_later_is_warned_of_and_refused_then(
    kandinsky3: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives states in place of texts never needs it."""
    real = ComponentMemory.of.__func__  # type: ignore[attr-defined]

    def of(cls: Any, name: str, source: Any, dtype: str, *kept: Any) -> ComponentMemory:
        found: ComponentMemory = real(cls, name, source, dtype, *kept)
        large = SimpleNamespace(T5EncoderModel=10**8)
        size = getattr(large, found.class_name, found.parameters)
        return ComponentMemory(
            name=found.name,
            class_name=found.class_name,
            dtype=found.dtype,
            parameters=size,
            block_parameters=found.block_parameters,
        )

    monkeypatch.setattr(ComponentMemory, "of", classmethod(of))
    backend = Accelerator(10**8)
    with caplog.at_level(logging.WARNING):
        pipe: Any = Kandinsky3Pipeline.from_pretrained(kandinsky3, backend=backend, tokenizer=None)
    assert "the weights take 381.5 MiB at once on gpu:0, which has 95.4 MiB" in caplog.text
    loaded = len(backend.loaded)
    with pytest.raises(DeviceMemoryError) as caught:
        pipe.text_encoder.encode(np.ones((1, 4), np.int32), np.ones((1, 4), bool))
    assert len(backend.loaded) == loaded
    assert [way.split(" (")[0] for way in ways(str(caught.value))] == [
        "text_encoder_loading='streamed'",
        "dtype='bfloat16' with text_encoder_loading='streamed'",
        "text_encoder=None and prompts that another machine has encoded",
    ]


def test_where_weights_come_when_they_are_used_it_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Offloading may be switched on before that."""
    backend = Accelerator(LARGEST, filled_by_load=False)
    with caplog.at_level(logging.WARNING):
        AutoPipelineForText2Image.from_pretrained("shapes", backend=backend)
    assert len(backend.loaded) == 5
    assert "the weights take 30.8 MiB at once on gpu:0" in caplog.text
    caplog.clear()
    AutoPipelineForText2Image.from_pretrained("shapes", backend=backend, offload=True)
    assert caplog.text == ""
