"""What only JAX's components do; `test_components` has what those of all backends do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core import KandinskyV22PriorPipeline, get_backend  # noqa: E402
from kandinsky_core.errors import BackendUnavailableError, DeviceMemoryError  # noqa: E402

pytestmark = pytest.mark.usefixtures("shallow_shapes")


def load(dtype: str = "float32") -> Any:
    pipeline = KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax", dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load()


def embed(pipe: Any) -> Any:
    return pipe("a red circle", seed=0, num_inference_steps=2).image_embeds


def test_offloaded_weights_live_on_the_host() -> None:
    other = load()
    other.enable_model_cpu_offload()
    for network in other.networks.values():
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(network._weights))


def test_casting_equals_loading_in_that_dtype() -> None:
    loaded, cast = load("bfloat16"), load().to("bfloat16")
    assert loaded.dtype == cast.dtype == "bfloat16"
    for name, network in loaded.networks.items():
        pairs = zip(
            jax.tree.leaves(network._weights),
            jax.tree.leaves(cast.networks[name]._weights),
            strict=True,
        )
        assert all((a == b).all() for a, b in pairs), name
    np.testing.assert_array_equal(embed(loaded), embed(cast))


def test_missing_device_is_named_with_what_is_there(pipe: Any) -> None:
    with pytest.raises(BackendUnavailableError, match="no device 'tpu'; it sees cpu"):
        pipe.to("tpu")
    with pytest.raises(BackendUnavailableError, match="cpu:7"):
        pipe.to("cpu:7")


def test_out_of_memory_says_what_to_do(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: Any, **options: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setitem(pipe.text_encoder._programs, "encode", exhausted)
    with pytest.raises(DeviceMemoryError, match=r"cpu has too little memory .*bfloat16") as caught:
        embed(pipe)
    for way in ("make a smaller picture or fewer", "enable_model_cpu_offload()"):
        assert way in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr("kandinsky_jax.weights.later_weights.load_weights", exhausted)
        ways = r"dtype='bfloat16', with offload=True, .*, or on another device"
        with pytest.raises(DeviceMemoryError, match=ways):
            load()

    def broken(*arguments: Any) -> Any:
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setitem(pipe.text_encoder._programs, "encode", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        embed(pipe)


def test_report_names_versions_and_devices() -> None:
    report = get_backend("jax").report()
    assert set(report.versions) == {"jax", "jaxlib", "flax"}
    assert report.devices[0].startswith("cpu")
