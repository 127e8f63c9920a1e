"""Meshes that are refused, and how weights and pictures are laid over those that are not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

from jax.sharding import PartitionSpec

from kandinsky_core import KandinskyV22PriorPipeline, get_backend
from kandinsky_core.checkpoints import opened_model
from kandinsky_core.configs import Kandinsky3UNetConfig, T5Config
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_jax.networks.kandinsky3_unet import Kandinsky3UNet
from kandinsky_jax.networks.movq import VQModel
from kandinsky_jax.networks.prior import PriorTransformer
from kandinsky_jax.networks.t5_encoder import T5EncoderModel
from kandinsky_jax.networks.unet import UNet2DConditionModel
from kandinsky_jax.placement.sharding import weight_spec
from kandinsky_jax.weights.network_form import abstract_network, native_shapes
from tests.kandinsky_cli.run import runner
from tests.support.backends import needs
from tests.support.kandinsky3 import T5_JSON, UNET_JSON
from tests.support.published import published_config

ALLOWED = "give sizes of data and model, such as 'data=4,model=2', or a jax.sharding.Mesh of them"
FULL_SIZE: dict[str, tuple[Any, Any]] = {
    "unet 2.2": (UNet2DConditionModel, published_config("unet")),
    "prior 2.2": (PriorTransformer, published_config("prior")),
    "movq": (VQModel, published_config("movq")),
    "unet 3": (Kandinsky3UNet, Kandinsky3UNetConfig.from_dict(UNET_JSON)),
    "t5": (T5EncoderModel, T5Config.from_dict(T5_JSON)),
}


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a model is about to be fetched or read."""

    def resolve(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was touched before the mistake was seen")

    monkeypatch.setattr(opened_model, "resolve_model", resolve)


@pytest.mark.parametrize("mesh", ["", "8", "data", "data=", "data=0", "data=-1", "data=2.5"])
@pytest.mark.usefixtures("unread")
def test_texts_that_are_no_mesh(mesh: str) -> None:
    refused(mesh, ALLOWED)


@pytest.mark.parametrize(
    ("mesh", "said"),
    [
        ("data=1,", f"mesh='data=1,', at '': {ALLOWED}"),
        ("data=1,data=1", f"at 'data=1': {ALLOWED}"),
        ("data:1", f"at 'data:1': {ALLOWED}"),
        ("data=1 model=1", f"at 'data=1 model=1': {ALLOWED}"),
        ("data=1,pipe=2", f"mesh='data=1,pipe=2': there is no axis 'pipe': {ALLOWED}"),
        (8, f"mesh=8: {ALLOWED}"),
        ((4, 2), rf"mesh=(4, 2): {ALLOWED}"),
        (False, f"mesh=False: {ALLOWED}"),
    ],
)
@pytest.mark.usefixtures("unread")
def test_other_mistakes(mesh: Any, said: str) -> None:
    refused(mesh, said)


def refused(mesh: Any, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax", mesh=mesh)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unread")
def test_more_devices_than_there_are() -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax", mesh="data=4, model=2")
    assert str(caught.value) == (
        "mesh='data=4, model=2' needs 8 devices, and JAX sees cpu x 1: make it smaller, or, to try "
        "it on a CPU, set XLA_FLAGS=--xla_force_host_platform_device_count=8 in the environment"
    )


@pytest.mark.usefixtures("unread")
def test_arguments_that_contradict_each_other() -> None:
    load = KandinskyV22PriorPipeline.from_pretrained
    with pytest.raises(InvalidInputError, match="device='cpu' beside mesh='data=1': give one of"):
        load("shapes", backend="jax", mesh="data=1", device="cpu")
    with pytest.raises(InvalidInputError, match=r"made already: make it with get_backend\('jax', "):
        load("shapes", backend=get_backend("jax"), mesh="data=1")
    with pytest.raises(InvalidInputError, match="mesh: options are one backend's own; give its na"):
        load("shapes", mesh="data=1")


def test_a_device_beside_a_backend_with_a_mesh() -> None:
    backend = get_backend("jax", mesh="data=1")
    with pytest.raises(InvalidInputError, match="device='cpu' beside a mesh of devices, cpu x 1: "):
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend=backend, device="cpu")


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("backend", [pytest.param("mindspore", marks=needs("mindspore"))])
def test_a_backend_that_has_no_mesh(backend: str) -> None:
    with pytest.raises(InvalidInputError, match=r"mindspore backend has no option 'mesh': .*, or"):
        KandinskyV22PriorPipeline.from_pretrained("shapes", backend=backend, mesh="data=2")


def test_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, words = runner(capsys), ("generate", "a", "--backend", "jax", "--mesh")
    code, output, error = run(*words, "data=64")
    assert (code, output) == (2, "")
    assert "mesh='data=64' needs 64 devices" in error
    assert ALLOWED in run(*words, "64")[2]
    assert not list(tmp_path.iterdir())


def test_a_mesh_of_one_device_changes_nothing() -> None:
    made = []
    for mesh in (None, "data=1"):
        pipe: Any = KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax", mesh=mesh)
        pipe.set_progress_bar_config(disable=True)
        made.append(pipe(["a ring", "a star"], seed=[3, 4], num_inference_steps=2).image_embeds)
        assert pipe.device == ("cpu" if mesh is None else "cpu x 1")
    np.testing.assert_array_equal(made[0], made[1])


@pytest.mark.parametrize(
    ("leaf", "shape", "spec"),
    [
        ("kernel", (256, 1024), (None, "model")),  # widens: its outputs
        ("kernel", (1024, 256), ("model",)),  # narrows: its inputs
        ("kernel", (256, 256), (None, "model")),
        ("kernel", (3, 3, 64, 64), (None, None, None, "model")),
        ("kernel", (3, 3, 128, 64), (None, None, "model")),
        ("kernel", (3, 3, 384, 3), (None, None, "model")),
        ("kernel", (512, 1022), ("model",)),  # 4 divides the smaller only
        ("kernel", (510, 1022), ()),
        ("kernel", (32, 32), ()),  # not worth it
        ("embedding", (49408, 1024), (None, "model")),
        ("embedding", (49408, 1022), ("model",)),
        ("positional_embedding", (1, 81, 2048), (None, None, "model")),
        ("bias", (8192,), ()),
        ("scale", (8192,), ()),
    ],
)
def test_the_rule_of_weights(leaf: str, shape: tuple[int, ...], spec: tuple[Any, ...]) -> None:
    assert weight_spec(leaf, shape, 4) == PartitionSpec(*spec)
    assert weight_spec(leaf, shape, 1) == PartitionSpec()


@pytest.mark.parametrize("name", FULL_SIZE)
@pytest.mark.parametrize("parts", [2, 8])
def test_published_networks_are_shared_out_evenly(name: str, parts: int) -> None:
    """What each device holds, within three hundredths of an equal part."""
    module, config = FULL_SIZE[name]
    held = total = 0
    for path, shape in native_shapes(abstract_network(module, config, dtype="bfloat16")).items():
        count = math.prod(shape)
        total += count
        held += count // parts if weight_spec(path.split(".")[-1], shape, parts) else count
    print(f"{name}: {held / total:.4f} for {parts}")  # noqa: T201 - shown by pytest -rP
    assert 1 / parts <= held / total < 1.03 / parts
