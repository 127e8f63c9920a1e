"""What programs are kept under: all that they depend on, in words that hold in any process."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_backend_kit.source_digest import SourceDigest  # noqa: E402
from kandinsky_core.configs import Kandinsky3UNetConfig, UNet2DConditionConfig  # noqa: E402
from kandinsky_core.seam.dtypes import DTypeName  # noqa: E402
from kandinsky_core.seam.step_rules import PLAIN_RULE, StepRule, Threshold  # noqa: E402
from kandinsky_jax.components import denoise, kandinsky3_control  # noqa: E402
from kandinsky_jax.layers import attention, winograd  # noqa: E402
from kandinsky_jax.placement.devices import default_device  # noqa: E402
from kandinsky_jax.placement.places import OneDevice  # noqa: E402
from kandinsky_jax.programs import kept_executables, surroundings  # noqa: E402
from kandinsky_jax.programs.description import UndescribedError, describe  # noqa: E402
from kandinsky_jax.weights.network_form import NetworkForm  # noqa: E402
from tests.support.published import published_config  # noqa: E402

CONFIG: Any = published_config("unet")
FORM = NetworkForm("kandinsky_jax.networks.unet:UNet2DConditionModel", CONFIG, "float32")
BRANCH = NetworkForm("a:B", Kandinsky3UNetConfig(), "float32")
WEIGHTS = {"a.kernel": np.zeros((2, 3), np.float32), "b.bias": np.zeros(3, np.float32)}
ARGUMENTS = (np.zeros((1, 4), np.float32), {"x": np.float32(1)})


@pytest.fixture(autouse=True)
def a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("kandinsky_jax.programs.cache._folder", tmp_path)
    surroundings._machine.cache_clear()
    yield
    surroundings._machine.cache_clear()


def key(
    form: Any = FORM,
    *,
    guided: bool = True,
    rule: StepRule = PLAIN_RULE,
    function: Callable[..., Any] = denoise._step,
    name: str = "step",
    donate: tuple[int, ...] = (1,),
    shared: tuple[int, ...] = (2,),
    batch: Any = None,
    weights: Any = WEIGHTS,
    arguments: Any = ARGUMENTS,
) -> bytes:
    made_from = (name, functools.partial(function, form, guided, rule), donate, shared)
    batch = OneDevice(default_device()) if batch is None else batch
    entry = kept_executables.kept_executable(batch, made_from, (weights, *arguments))
    assert entry is not None
    return entry.key


class Batch(OneDevice):
    """A batch of another kind on the same device."""

    description = ("mesh", "split True")


def changed(field: str, value: Any) -> NetworkForm:
    return dataclasses.replace(FORM, config=dataclasses.replace(CONFIG, **{field: value}))


def described_differences() -> dict[str, dict[str, Any]]:
    """Programs that differ from the first one in one thing each."""
    kernel, bias = WEIGHTS.values()
    first, second = ARGUMENTS
    device = jax.device_put(first, default_device())
    return {
        "nothing": {},
        "norm groups": {"form": changed("norm_num_groups", 16)},
        "head width": {"form": changed("attention_head_dim", 32)},
        "class": {"form": dataclasses.replace(FORM, path="kandinsky_jax.networks.unet:Other")},
        "dtype": {"form": dataclasses.replace(FORM, dtype="bfloat16")},
        "tiles": {"form": dataclasses.replace(FORM, tiled=True)},
        "a part": {"form": dataclasses.replace(FORM, whole=False)},
        "attention": {"form": dataclasses.replace(FORM, attention="plain")},
        "branch": {"form": kandinsky3_control._ControlledForm(FORM, BRANCH)},
        "swapped branch": {"form": kandinsky3_control._ControlledForm(BRANCH, FORM)},
        "guidance": {"guided": False},
        "variance": {"rule": StepRule(learned_variance=True)},
        "threshold": {"rule": StepRule(threshold=Threshold(0.9, 1.0))},
        "its ratio": {"rule": StepRule(threshold=Threshold(0.95, 1.0))},
        "its maximum": {"rule": StepRule(threshold=Threshold(0.9, 2.0))},
        "registers": {"rule": StepRule(registers=1)},
        "blending": {"rule": StepRule(blends_x0=True)},
        "function": {"function": denoise._output},
        "name": {"name": "other"},
        "donated": {"donate": (1, 2)},
        "shared": {"shared": ()},
        "batch": {"batch": Batch(default_device())},
        "weight's name": {"weights": {"a.kernel": kernel, "c.bias": bias}},
        "weight's shape": {"weights": {"a.kernel": kernel.T, "b.bias": bias}},
        "weight's dtype": {"weights": {"a.kernel": kernel.astype(np.float16), "b.bias": bias}},
        "one weight more": {"weights": {**WEIGHTS, "z": bias}},
        "shape": {"arguments": (first[0], second)},
        "argument's dtype": {"arguments": (first.astype(np.int32), second)},
        "structure": {"arguments": (first, (second["x"],))},
        "None": {"arguments": (first, {"x": second["x"], "y": None})},
        "place": {"arguments": (device, second)},
        "weak type": {"arguments": (jax.numpy.asarray(1.0), second)},
        "strong type": {"arguments": (jax.numpy.asarray(np.float32(1)), second)},
    }


def test_programs_that_differ_in_one_thing_have_different_keys() -> None:
    differences = described_differences()
    keys = {name: key(**options) for name, options in differences.items()}
    assert keys["nothing"] == key()
    assert len(set(keys.values())) == len(keys)


def test_shapes_have_the_key_of_arrays_at_the_same_place() -> None:
    """So `compile_only`, which has no values, compiles for the process that has them."""
    place = OneDevice(default_device())
    placed = place.put_weights(WEIGHTS)
    assert key(weights=placed) == key(weights=place.shapes(WEIGHTS)) != key()
    form = dataclasses.replace(FORM, dtype=DTypeName("float32"))
    assert key(form) == key(), "the name of a dtype has a class of its own"


def test_other_surroundings_are_another_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.py").touch()

    def version(package: str) -> str:
        return f"9.9 of {package}"

    changes: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
        "versions": lambda patch: patch.setattr(surroundings, "version", version),
        "source": lambda patch: patch.setattr(surroundings, "_SOURCES", SourceDigest([tmp_path])),
        "processor": lambda patch: patch.setattr(
            surroundings, "processor_identity", lambda: "an older one"
        ),
        "flags": lambda patch: patch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"),
        "TPU flags": lambda patch: patch.setenv("LIBTPU_INIT_ARGS", "--xla_x=1"),
        "attention": lambda patch: patch.setattr(attention, "MAX_NEAR_SCORES", 64),
        "bands": lambda patch: patch.setattr(winograd, "WIDE", 1),
        "memory": lambda patch: patch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", ".5"),
    }
    keys = {"nothing": key()}
    for name, change in changes.items():
        with monkeypatch.context() as patch:
            change(patch)
            surroundings._machine.cache_clear()
            keys[name] = key()
    with jax.default_matmul_precision("bfloat16"):
        keys["precision"] = key()
    assert keys.pop("memory") == keys["nothing"], "how much memory a client takes is no matter"
    assert len(set(keys.values())) == len(keys)
    surroundings._machine.cache_clear()
    assert key() == keys["nothing"]


def test_a_device_of_another_kind_is_another_key() -> None:
    @dataclasses.dataclass(frozen=True)
    class Device:
        device_kind: str
        client: Any
        platform: str = "cpu"

    @dataclasses.dataclass(frozen=True)
    class Client:
        platform_version: str

        def devices(self) -> list[Any]:
            return []

    pairs = (("v4", "1"), ("v5", "1"), ("v4", "2"))
    devices: list[Any] = [Device(kind, Client(version)) for kind, version in pairs]
    assert len({repr(surroundings.compiler(device)) for device in devices}) == 3


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        functools.partial(lambda x: x),
        object(),
        np.zeros(3),
        {"a": object()},
        functools.partial(max, object()),
        type("Local", (), {}),
    ],
)
def test_what_has_no_words_is_refused(value: Any) -> None:
    """A function with a closure among them: what it reads would be missing."""

    def closed() -> Any:
        return value

    for item in (value, closed):
        with pytest.raises(UndescribedError):
            describe(item)


def test_types_and_nesting_count() -> None:
    values = [1, 1.0, True, "1", b"1", None, (1,), [1], ((1,),), {"1": 1}, np.dtype("int8"), (1, 1)]
    values += [UNet2DConditionConfig, np.dtype("int16"), {"1": "1"}, {}, (), ""]
    assert len({repr(describe(value)) for value in values}) == len(values)
    assert describe({"a": 1, "b": 2}) == describe({"b": 2, "a": 1})


def test_another_cudnn_is_another_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiler(cudnn: str) -> Any:
        client = SimpleNamespace(platform_version="cuda 12", devices=list)
        gpu = SimpleNamespace(platform="gpu", device_kind="H200", client=client)
        packages = (("nvidia-cudnn-cu12", cudnn), ("rich", cudnn))
        found = [SimpleNamespace(name=name, version=version) for name, version in packages]
        monkeypatch.setattr(surroundings, "distributions", lambda: found)
        return surroundings._machine.__wrapped__(gpu)

    assert compiler("9.8") == compiler("9.8") != compiler("9.10")
    assert compiler("9.8")[-1] == (("nvidia-cudnn-cu12", "9.8"),)
