"""The JAX components behind the core's interfaces: placing, casting, offloading, runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core import KandinskyV22PriorPipeline, get_backend  # noqa: E402
from kandinsky_core.errors import BackendUnavailableError, DeviceMemoryError  # noqa: E402


def load(dtype: str = "float32") -> Any:
    pipeline = KandinskyV22PriorPipeline.from_pretrained("shapes", backend="jax", dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load()


def embed(pipe: Any) -> Any:
    return pipe("a red circle", seed=0, num_inference_steps=2).image_embeds


def test_offloaded_weights_live_on_the_host_and_give_the_same(pipe: Any) -> None:
    other = load()
    other.enable_model_cpu_offload()
    for network in other.networks.values():
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(network._weights))
    np.testing.assert_array_equal(embed(other), embed(pipe))
    other.to(device="cpu")
    np.testing.assert_array_equal(embed(other), embed(pipe))


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


def test_half_precision_results_cross_the_seam_as_float32() -> None:
    pipe = load("bfloat16")
    embeds, hidden = pipe.text_encoder.encode(pipe.tokenizer(["red"])[0])
    assert embeds.dtype == hidden.dtype == np.float32
    assert all(array.dtype == np.float32 for array in pipe.prior.clip_statistics())


def test_missing_device_is_named_with_what_is_there(pipe: Any) -> None:
    with pytest.raises(BackendUnavailableError, match="no device 'tpu'; it sees cpu"):
        pipe.to("tpu")
    with pytest.raises(BackendUnavailableError, match="cpu:7"):
        pipe.to("cpu:7")
    assert pipe.device == "cpu"


def test_a_run_can_be_read_written_and_conditioned_anew(pipe: Any) -> None:
    ids, mask = pipe.tokenizer(["red"])
    embeds, hidden = pipe.text_encoder.encode(ids)
    conditioning = {
        "prompt_embeds": embeds,
        "text_encoder_hidden_states": hidden,
        "text_mask": mask,
    }
    schedule = pipe.scheduler.schedule(3)
    start = np.random.default_rng(0).standard_normal((1, embeds.shape[1]), np.float32)
    noise = np.ones_like(start)

    def result(changed: bool) -> Any:
        run = pipe.prior.begin(start, conditioning, 1.0)
        np.testing.assert_array_equal(run.read(), start)
        run.step(schedule.timesteps[0], schedule.rows[0], noise)
        before = run.read()
        run.write(before if not changed else 2 * before)
        np.testing.assert_array_equal(run.read(), before * (2 if changed else 1))
        if changed:
            run.condition(conditioning | {"prompt_embeds": -embeds})
        run.step(schedule.timesteps[1], schedule.rows[1], noise)
        return run.read()

    first = result(changed=False)
    np.testing.assert_array_equal(first, result(changed=False))
    assert np.abs(first - result(changed=True)).max() > 1e-3


def test_out_of_memory_says_what_to_do(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setitem(pipe.text_encoder._programs, "encode", exhausted)
    with pytest.raises(DeviceMemoryError, match=r"cpu has too little memory .*bfloat16"):
        embed(pipe)

    def broken(*arguments: Any) -> Any:
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setitem(pipe.text_encoder._programs, "encode", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        embed(pipe)


def test_report_names_versions_and_devices() -> None:
    report = get_backend("jax").report()
    assert report.available
    assert set(report.versions) == {"jax", "jaxlib", "flax"}
    assert report.devices[0].startswith("cpu")
