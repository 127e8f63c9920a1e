"""What the components of every backend do alike: casting, offloading, running, refusing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import KandinskyV22PriorPipeline, get_backend
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.errors import (
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    NonFiniteError,
)
from tests.support.backends import BACKENDS
from tests.support.damage import edit_json, edit_tensors

PRIOR = "prior/diffusion_pytorch_model.safetensors"
PROMPT = "a red circle"

pytestmark = pytest.mark.usefixtures("shallow_shapes")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend."""
    return str(request.param)


def load(backend: str, model: str | Path = "shapes", dtype: str = "float32") -> Any:
    pipeline = KandinskyV22PriorPipeline.from_pretrained(model, backend=backend, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipe(backend: str) -> Any:
    return load(backend)


def embed(pipe: Any) -> Any:
    return pipe(PROMPT, seed=0, num_inference_steps=2).image_embeds


def test_offloading_and_moving_to_where_it_is_change_nothing(backend: str, pipe: Any) -> None:
    other = load(backend)
    other.enable_model_cpu_offload()
    np.testing.assert_array_equal(embed(other), embed(pipe))
    other.to(device="cpu")
    np.testing.assert_array_equal(embed(other), embed(pipe))
    assert (other.device, other.backend) == ("cpu", backend)


def test_the_zero_picture_is_encoded_again_when_weights_change(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = load(backend)
    encoder, run = pipe.image_encoder, type(pipe.image_encoder)._encode
    runs: list[int] = []

    def counted(self: Any, pixels: Any) -> Any:
        runs.append(1)
        return run(self, pixels)

    monkeypatch.setattr(type(encoder), "_encode", counted)
    first = pipe.zero_embeds(2)
    first[0] = 0  # what a caller does to its copy stays there
    np.testing.assert_array_equal(pipe.zero_embeds(1)[0], first[1])
    assert len(runs) <= 1, "an earlier process may have kept it"
    runs.clear()
    grey = np.full((1, 3, encoder.config.image_size, encoder.config.image_size), 0.1, np.float32)
    assert not np.array_equal(encoder.encode(grey), first[1:])
    name = "visual_projection.weight"
    encoder.update_weights({name: 2 * encoder.state_dict()[name]})
    for _ in range(2):
        np.testing.assert_array_equal(pipe.zero_embeds(1), 2 * first[1:])
    assert len(runs) == 2, "the grey picture, and the zeros once"
    encoder.restore_weights()
    np.testing.assert_array_equal(pipe.zero_embeds(1), first[1:])
    runs.clear()
    encoder.to(dtype="float16").to(dtype="float32")  # which rounds, but weights as these
    np.testing.assert_array_equal(pipe.zero_embeds(1), first[1:])
    assert len(runs) == 1


def test_casting_equals_loading_in_that_dtype(backend: str) -> None:
    loaded, cast = load(backend, dtype="float16"), load(backend).to("float16")
    assert loaded.dtype == cast.dtype == "float16"
    assert {network.dtype for network in cast.networks.values()} == {"float16"}
    ids = loaded.tokenizer([PROMPT])[0]
    for ours, expected in zip(
        cast.text_encoder.encode(ids), loaded.text_encoder.encode(ids), strict=True
    ):
        assert ours.dtype == np.float32, "half precision crosses the seam as float32"
        np.testing.assert_array_equal(ours, expected)
    for ours, expected in zip(
        cast.prior.clip_statistics(), loaded.prior.clip_statistics(), strict=True
    ):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(embed(cast), embed(loaded))


def test_a_missing_device_is_named_and_leaves_all_as_it_was(pipe: Any) -> None:
    for device in ("tpu", "cpu:7", "gpu", "ascend"):
        with pytest.raises(BackendUnavailableError) as caught:
            pipe.to(device)
        assert repr(device) in str(caught.value)
        assert "cpu" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert pipe.device == "cpu"
    embed(pipe)


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
        kept = before.copy()
        run.write(before if not changed else 2 * before)
        np.testing.assert_array_equal(run.read(), before * (2 if changed else 1))
        if changed:
            run.condition(conditioning | {"prompt_embeds": -embeds})
        run.step(schedule.timesteps[1], schedule.rows[1], noise)
        np.testing.assert_array_equal(before, kept, err_msg="what was read is the caller's")
        return run.read()

    first = result(changed=False)
    np.testing.assert_array_equal(first, result(changed=False))
    assert np.abs(first - result(changed=True)).max() > 1e-3


def test_a_loaded_network_needs_its_file_no_more(backend: str, model: Path) -> None:
    """It may be a window into it, in the precision that is stored there: float16."""
    loaded = load(backend, model / "prior", "float16")
    files = list((model / "prior").rglob("*.safetensors"))
    assert len(files) == 3
    for file in files:
        file.unlink()
    for ours, name in zip(loaded.prior.clip_statistics(), ("mean", "std"), strict=True):
        stored = EMBEDDED["shapes"] / "prior" / PRIOR
        np.testing.assert_array_equal(ours, SafetensorsFiles([stored]).read(f"clip_{name}"))
    ids = loaded.tokenizer([PROMPT])[0]
    assert np.isfinite(loaded.text_encoder.encode(ids)[0]).all()


def test_unknown_config_field(backend: str, model: Path) -> None:
    edit_json(model / "prior" / "prior" / "config.json", colour_of_the_sky="blue")
    with pytest.raises(ConfigError, match=r"PriorTransformer: unknown config field.*colour_of_the"):
        load(backend, model / "prior")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ("clip_mean",)}, r"1 missing \(clip_mean\)"),
        ({"stray": np.ones(1, np.float32)}, r"1 unexpected \(stray\)"),
        ({"clip_mean": np.ones((1, 3), np.float32)}, r"of another shape \(clip_mean \[1,3\] for"),
        ({"clip_mean": np.ones((1, 96), np.int32)}, r"not floating point \(clip_mean I32\)"),
    ],
)
def test_tensors_that_do_not_fit(
    backend: str, model: Path, change: dict[str, Any], message: str
) -> None:
    edit_tensors(model / "prior" / PRIOR, **change)
    with pytest.raises(CheckpointError, match=message):
        load(backend, model / "prior")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers(backend: str, model: Path, bad: float) -> None:
    edit_tensors(model / "prior" / PRIOR, **{"proj_in.bias": np.full(192, bad, np.float32)})
    with pytest.raises(CheckpointError, match=r"NaN or infinity in .*proj_in.bias"):
        load(backend, model / "prior")


def test_results_that_are_no_numbers_name_their_stage(backend: str, model: Path) -> None:
    huge = {"time_embedding.linear_1.bias": np.full(192, 3e38, np.float32)}
    edit_tensors(model / "prior" / PRIOR, **huge)
    damaged = load(backend, model / "prior")
    with pytest.raises(NonFiniteError, match=r"prior gave .* its weights or inputs hold such"):
        embed(damaged)


def test_report_names_versions_and_devices(backend: str) -> None:
    report = get_backend(backend).report()
    assert report.available
    assert backend in report.versions
    assert report.devices[-1].startswith("cpu")
