"""`kandinsky info` with a dtype, a backend or a device says what a model takes; nothing is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kandinsky_cli import model_memory
from kandinsky_converters.convert import convert
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.errors import BackendUnavailableError
from kandinsky_core.seam.backend import DeviceMemory
from tests.kandinsky_cli.run import Runner
from tests.support.backends import BACKENDS, needs
from tests.support.fake_hub import FakeHub
from tests.support.kandinsky3_folder import write_kandinsky3

MIB = 2**20
BFLOAT16 = {
    "prior_image_encoder": ("bfloat16", 1_677_824),
    "prior_prior": ("bfloat16", 3_874_368),
    "prior_text_encoder": ("bfloat16", 1_139_136),
    "movq": ("float32", 3_163_708),
    "unet": ("bfloat16", 7_860_944),
}


@pytest.fixture(autouse=True)
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a tensor is read."""

    def read(self: Any, name: str) -> Any:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(SafetensorsFiles, "read", read)
    monkeypatch.setattr(MindSporeFile, "read", read)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model as it is published, as its variant is, and converted."""
    root = tmp_path_factory.mktemp("models")
    write_kandinsky3(root / "variant", ".fp16")
    for layout in ("jax", "mindspore"):
        convert(write_kandinsky3(root / "diffusers"), layout, root / layout)
    return root


@pytest.fixture
def kandinsky3(models: Path) -> Path:
    return models / "diffusers"


def accelerator(monkeypatch: pytest.MonkeyPatch, total: int, free: int | None = None) -> None:
    """Put one in the place of what is installed."""

    class Backend:
        name = "mindspore"

        def memory(self, device: str | None) -> DeviceMemory:
            return DeviceMemory(
                device=device or "gpu:0", total=total, free=free, host=False, filled_by_load=True
            )

    backend = Backend()
    monkeypatch.setattr(model_memory, "get_backend", lambda name: backend)


def memory_of(kandinsky: Runner, *words: object) -> dict[str, Any]:
    code, output, error = kandinsky("info", *words, "--json")
    assert (code, error) == (0, "")
    return dict(json.loads(output)["memory"])


def sizes(memory: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {name: (part["dtype"], part["bytes"]) for name, part in memory["components"].items()}


def rows(output: str) -> list[str]:
    """The table, without what space it has."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("memory ("))
    return [" ".join(line.split()) for line in lines[start + 1 :]]


def test_without_options_there_are_stored_sizes_only(kandinsky: Runner) -> None:
    code, output, _ = kandinsky("info", "shapes", "--json")
    found = json.loads(output)
    assert code == 0
    assert "memory" not in found
    unet = found["KandinskyV22Pipeline"]["unet"]
    assert unet["bytes"] == 2 * unet["parameters"]
    code, output, _ = kandinsky("info", "shapes")
    assert "    bytes: 7,860,944\n" in output


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_halves_on_a_cpu(kandinsky: Runner, backend: str) -> None:
    memory = memory_of(kandinsky, "shapes", "--dtype", "bfloat16", "--backend", backend)
    assert sizes(memory) == BFLOAT16
    assert memory["resident_bytes"] == sum(size for _, size in BFLOAT16.values())
    assert memory["one_at_a_time_bytes"] == 7_860_944
    assert "streamed_bytes" not in memory
    device = memory["device"]
    assert (device["name"], device["host"]) == ("cpu", True)
    assert 0 < device["free_bytes"] <= device["total_bytes"]


def test_the_table(kandinsky: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator(monkeypatch, 16 * MIB, 8 * MIB)
    code, output, error = kandinsky("info", "shapes", "--dtype", "bfloat16", "--device", "gpu:1")
    assert (code, error) == (0, "")
    assert rows(output) == [
        "prior_image_encoder bfloat16 1,677,824 bytes 1.6 MiB",
        "prior_prior bfloat16 3,874,368 bytes 3.7 MiB",
        "prior_text_encoder bfloat16 1,139,136 bytes 1.1 MiB",
        "movq float32 3,163,708 bytes 3.0 MiB",
        "unet bfloat16 7,860,944 bytes 7.5 MiB",
        "all at once 17,715,980 bytes 16.9 MiB does not fit",
        "one at a time (offload) 7,860,944 bytes 7.5 MiB fits",
        "gpu:1 has 16.0 MiB, 8.0 MiB of it free",
    ]
    accelerator(monkeypatch, 16 * MIB, 7 * MIB)
    _, output, _ = kandinsky("info", "shapes", "--dtype", "bfloat16", "--device", "gpu:1")
    assert rows(output)[-2].endswith("7.5 MiB more than is free now")


def test_weights_in_8_bits(kandinsky: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator(monkeypatch, 16 * MIB)
    words = ("info", "shapes", "--dtype", "bfloat16", "--quantize", "int8")
    code, output, error = kandinsky(*words)
    assert (code, output) == (2, "")
    assert "quantize='int8': the mindspore backend keeps weights in their dtype" in error
    model_memory.get_backend(None).quantizations = ("int8",)  # type: ignore[attr-defined]
    memory = memory_of(kandinsky, *words[1:])
    unet = memory["components"]["unet"]
    assert (unet["dtype"], unet["quantize"], unet["bytes"]) == ("bfloat16", "int8", 4_112_720)
    assert rows(kandinsky(*words)[1])[4].startswith("unet int8 4,112,720 bytes")
    assert "quantize" not in memory["components"]["movq"]


def test_float32_is_what_a_pipeline_computes_in(kandinsky: Runner) -> None:
    memory = memory_of(kandinsky, "shapes", "--device", "cpu")
    assert {dtype for dtype, _ in sizes(memory).values()} == {"float32"}


def test_kandinsky_3(kandinsky: Runner, kandinsky3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T5 is never in float16; on the host the other networks stay beside its blocks."""
    words = (kandinsky3, "--dtype", "float16")
    host = memory_of(kandinsky, *words)
    accelerator(monkeypatch, 12 * MIB)
    there = memory_of(kandinsky, *words)
    expected = {"unet": "float16", "movq": "float32", "text_encoder": "bfloat16"}
    for memory in (host, there):
        assert {name: dtype for name, (dtype, _) in sizes(memory).items()} == expected
    size = {name: part for name, (_, part) in sizes(there).items()}
    assert there["one_at_a_time_bytes"] == there["streamed_bytes"] == size["movq"]
    block = host["streamed_bytes"] - size["movq"] - size["unet"]
    assert 0 < block < size["text_encoder"] / 7
    assert host["resident_bytes"] == sum(size.values())
    assert rows(kandinsky("info", *words)[1])[-4:] == [
        "all at once 21,070,724 bytes 20.1 MiB does not fit",
        "one at a time (offload) 11,463,100 bytes 10.9 MiB fits",
        "text encoder streamed 11,463,100 bytes 10.9 MiB fits",
        "gpu:0 has 12.0 MiB",
    ]


def test_other_files_of_the_same_weights(kandinsky: Runner, models: Path) -> None:
    words = ("--dtype", "bfloat16")
    expected = memory_of(kandinsky, models / "diffusers", *words)
    for name, more in (("jax", ()), ("mindspore", ()), ("variant", ("--variant", "fp16"))):
        assert sizes(memory_of(kandinsky, models / name, *words, *more)) == sizes(expected)
    code, _, error = kandinsky("info", models / "variant")
    assert code == 2
    assert "no weights for no variant" in error


def test_a_decoder_brings_the_prior_that_it_names(
    kandinsky: Runner, model: Path, hub: FakeHub
) -> None:
    memory = memory_of(kandinsky, model / "decoder", "--dtype", "bfloat16")
    assert sizes(memory) == BFLOAT16
    memory = memory_of(kandinsky, model / "prior", "--dtype", "bfloat16")
    names = {name.removeprefix("prior_") for name in BFLOAT16 if name.startswith("prior_")}
    assert set(sizes(memory)) == names
    (model / "decoder/README.md").write_text("---\nprior:\n  - owner/prior\n---\n")
    shutil.rmtree(model / "prior")
    code, output, _ = kandinsky("info", model / "decoder", "--dtype", "bfloat16")
    assert code == 0
    assert rows(output)[:4] == [
        "movq float32 3,163,708 bytes 3.0 MiB",
        "unet bfloat16 7,860,944 bytes 7.5 MiB",
        "all at once 11,024,652 bytes 10.5 MiB",
        "one at a time (offload) 7,860,944 bytes 7.5 MiB",
    ]
    assert rows(output)[4].startswith("prior is not counted: model 'owner/prior': ")


def test_of_a_hub_there_is_the_index_only(kandinsky: Runner, model: Path, hub: FakeHub) -> None:
    hub.add("planner/decoder", model / "decoder")
    hub.add("planner/prior", model / "prior")
    (model / "decoder/README.md").write_text("---\nprior:\n  - planner/prior\n---\n")
    code, output, error = kandinsky("info", "planner/decoder", "--dtype", "bfloat16")
    assert (code, error) == (0, "")
    said = [f"{name} is not counted: not on this machine" for name in BFLOAT16]
    assert rows(output)[:-1] == said
    assert rows(output)[-1].startswith("cpu has ")
    assert "unet:\n    class: UNet2DConditionModel\n    files: not on this machine\n" in output
    assert hub.downloads("planner/decoder") == {"model_index.json", "README.md"}
    assert hub.downloads("planner/prior") == {"model_index.json", "README.md"}


def test_without_a_backend_there_are_sizes_alone(
    kandinsky: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str | None) -> Any:
        raise BackendUnavailableError("no backend is installed")

    monkeypatch.setattr(model_memory, "get_backend", missing)
    memory = memory_of(kandinsky, "shapes", "--dtype", "bfloat16")
    assert sizes(memory) == BFLOAT16
    assert "device" not in memory
    _, output, _ = kandinsky("info", "shapes", "--dtype", "bfloat16")
    assert rows(output)[-1] == "one at a time (offload) 7,860,944 bytes 7.5 MiB"
    for words in (("--device", "gpu"), ("--backend", "jax")):
        code, output, error = kandinsky("info", "shapes", *words)
        assert (code, output) == (2, "")
        assert "no backend is installed" in error


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--dtype", "int8"), "dtype 'int8' is not supported"),
        (("--backend", "torch"), "there is no backend 'torch'"),
        pytest.param(
            ("--backend", "jax", "--device", "tpu"), "JAX sees no device 'tpu'", marks=needs("jax")
        ),
    ],
)
def test_what_is_unknown(kandinsky: Runner, words: tuple[str, ...], part: str) -> None:
    code, output, error = kandinsky("info", "shapes", *words)
    assert (code, output) == (2, "")
    assert part in error
