"""The MindSpore components behind the core's interfaces: loading, placing, casting, running."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from backends.mindspore import create
from backends.mindspore.cpu_ops import KERNELS, install
from backends.mindspore.devices import select_device
from backends.mindspore.networks import build_network, parameters_by_name
from kandinsky_core import KandinskyV22PriorPipeline, get_backend
from kandinsky_core.configs import CLIPTextConfig, PriorTransformerConfig
from kandinsky_core.errors import (
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    InvalidInputError,
)
from tests.dict_tensors import DictTensors

PRIOR = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "num_layers": 1,
    "embedding_dim": 6,
    "num_embeddings": 5,
}
MOVQ = {
    "latent_channels": 4,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "layers_per_block": 1,
    "norm_type": "spatial",
}


@pytest.fixture(scope="module", autouse=True)
def _ready() -> None:
    """Networks can be built."""
    assert select_device() == "cpu"
    install()


def source(class_name: str, config: dict[str, Any], tensors: DictTensors) -> Any:
    return SimpleNamespace(class_name=class_name, config=config, tensors=lambda: tensors)


def random_prior() -> DictTensors:
    network = build_network(PriorTransformerConfig.from_dict(PRIOR))
    generator = np.random.default_rng(5)
    return DictTensors(
        {
            name: generator.standard_normal(parameter.shape, np.float32)
            for name, parameter in parameters_by_name(network).items()
        }
    )


def load(dtype: str = "float32") -> Any:
    pipeline = KandinskyV22PriorPipeline.from_pretrained("shapes", backend="mindspore", dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load()


def test_building_gives_no_parameter_a_value() -> None:
    """Drawing the real models' billions of weights to throw them away would take minutes."""
    for config in (
        PriorTransformerConfig.from_dict(PRIOR),
        CLIPTextConfig(vocab_size=99, hidden_size=8, num_attention_heads=2, num_hidden_layers=1),
    ):
        matrices = [p for p in build_network(config).get_parameters() if p.ndim == 2]
        large = [p for p in matrices if p.shape[0] > 1]
        assert large
        assert all(parameter.has_init for parameter in large)


@pytest.mark.parametrize("stored", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("asked", ["float16", "float32"])
def test_every_value_finds_its_place_in_the_dtype_asked_for(stored: str, asked: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = ml_dtypes.bfloat16 if stored == "bfloat16" else stored
    tensors = DictTensors({k: v.astype(kind) for k, v in random_prior().arrays.items()})
    prior = create().load(source("PriorTransformer", PRIOR, tensors), asked)
    assert prior.dtype == asked
    back = {name: p.asnumpy() for name, p in parameters_by_name(prior._cell).items()}
    assert back.keys() == tensors.arrays.keys()
    for name, array in back.items():
        np.testing.assert_array_equal(array, tensors.arrays[name].astype(asked), err_msg=name)


def test_the_network_keeps_no_window_into_the_checkpoint() -> None:
    tensors = random_prior()
    prior = create().load(source("PriorTransformer", PRIOR, tensors), "float32")
    before = prior.clip_statistics()[0]
    for array in tensors.arrays.values():
        array[...] = 0
    np.testing.assert_array_equal(prior.clip_statistics()[0], before)
    assert before.any()


def test_the_unused_codebook_is_not_asked_for_and_old_names_are_known() -> None:
    from kandinsky_core.configs import VQModelConfig

    generator = np.random.default_rng(6)
    modern = {
        name: generator.standard_normal(parameter.shape, np.float32)
        for name, parameter in parameters_by_name(
            build_network(VQModelConfig.from_dict(MOVQ))
        ).items()
    }
    old_names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    legacy = {"quantize.embedding.weight": np.zeros((256, 4), np.float32)}
    for name, array in modern.items():
        old = name
        for new_part, old_part in old_names.items():
            old = old.replace(f".{new_part}.", f".{old_part}.") if ".attentions." in name else old
        legacy[old] = array
    assert any("proj_attn" in name for name in legacy)
    tensors = DictTensors(legacy)
    movq = create().load(source("VQModel", MOVQ, tensors), "float32")
    back = parameters_by_name(movq._cell)
    assert all(np.array_equal(back[name].asnumpy(), array) for name, array in modern.items())
    assert "quantize.embedding.weight" not in tensors.reads


def test_refusals() -> None:
    backend, tensors = create(), random_prior()
    with pytest.raises(ConfigError, match="has no Kandinsky3UNet; it has CLIPText"):
        backend.load(source("Kandinsky3UNet", {}, tensors), "float32")
    prior = source("PriorTransformer", PRIOR, tensors)
    with pytest.raises(InvalidInputError, match=r"bfloat16.*use float32"):
        backend.load(prior, "bfloat16")
    with pytest.raises(BackendUnavailableError, match="finds no Ascend NPU"):
        backend.load(prior, "float32", "npu")
    with pytest.raises(BackendUnavailableError, match="no device 'cuda:0'"):
        backend.load(prior, "float32", "cuda:0")
    tensors.arrays["extra"] = tensors.arrays.pop("prd_embedding")
    with pytest.raises(CheckpointError, match=r"missing \(prd_embedding\), 1 unexpected \(extra\)"):
        backend.load(prior, "float32")
    assert tensors.reads == []


def test_placing_and_casting(pipe: Any) -> None:
    other = load()
    other.enable_model_cpu_offload()
    other.to("cpu")
    assert (other.device, other.backend) == ("cpu", "mindspore")
    for device, message in {"npu": "finds no Ascend", "cuda": "no device 'cuda'"}.items():
        with pytest.raises(BackendUnavailableError, match=message):
            other.to(device)
    with pytest.raises(InvalidInputError, match="bfloat16"):
        other.to("bfloat16")
    assert other.dtype == "float32"
    other.to("float16")
    loaded = load("float16")
    for name, network in other.networks.items():
        assert network.dtype == "float16"
        twin = parameters_by_name(loaded.networks[name]._cell)
        for path, parameter in parameters_by_name(network._cell).items():
            np.testing.assert_array_equal(parameter.asnumpy(), twin[path].asnumpy(), err_msg=path)


def test_half_precision_results_cross_the_seam_as_float32() -> None:
    pipe = load("float16")
    embeds, hidden = pipe.text_encoder.encode(pipe.tokenizer(["red"])[0])
    assert embeds.dtype == hidden.dtype == np.float32
    assert all(array.dtype == np.float32 for array in pipe.prior.clip_statistics())


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


def test_report_names_versions_and_devices() -> None:
    report = get_backend("mindspore").report()
    assert report.available
    assert set(report.versions) == {"mindspore", "mindone"}
    assert report.devices == (f"cpu ({len(KERNELS)} operators replaced)",)


THREADS = """
import sys, threading
sys.modules.update(dict.fromkeys(("jax", "jaxlib", "flax")))  # as if they were not installed
from kandinsky_core import KandinskyV22PriorPipeline

pipe = KandinskyV22PriorPipeline.from_pretrained("shapes", backend="mindspore")
ids = pipe.tokenizer(["a red circle"])[0]
expected = pipe.text_encoder.encode(ids)[0]
wrong = []

def work():
    for _ in range(20):
        if not (pipe.text_encoder.encode(ids)[0] == expected).all():
            wrong.append(1)

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong
"""


@pytest.mark.slow
def test_threads_take_turns_and_the_libraries_keep_quiet() -> None:
    """Alone in a process, without JAX.

    Without the lock the process dies; without care there are 3 to 30 lines of warnings.
    """
    environment = {k: v for k, v in os.environ.items() if k != "GLOG_v"}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
