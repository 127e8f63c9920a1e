"""What only MindSpore's components do; `test_components` has what those of all backends do."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from kandinsky_core import KandinskyV22PriorPipeline, get_backend  # noqa: E402
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles  # noqa: E402
from kandinsky_core.configs import PriorTransformerConfig  # noqa: E402
from kandinsky_core.errors import (  # noqa: E402
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    InvalidInputError,
)
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from kandinsky_mindspore import create  # noqa: E402
from kandinsky_mindspore.cpu.cpu_ops import KERNELS, install  # noqa: E402
from kandinsky_mindspore.networks.build import build_network  # noqa: E402
from kandinsky_mindspore.placement.devices import select_device  # noqa: E402
from kandinsky_mindspore.weights.load import fill_network, parameters_by_name  # noqa: E402
from tests.support.damage import raw_safetensors  # noqa: E402
from tests.support.dict_tensors import DictTensors  # noqa: E402
from tests.support.fake_npu import MOVQ  # noqa: E402

pytestmark = pytest.mark.usefixtures("shallow_shapes")

PRIOR = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "num_layers": 1,
    "embedding_dim": 6,
    "num_embeddings": 5,
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


def test_the_name_bfloat16_means_what_it_did() -> None:
    """MindSpore takes it for a type of its own, and JAX in the same process fails."""
    assert np.dtype("bfloat16") == np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("stored", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("asked", ["float16", "float32"])
def test_every_value_finds_its_place_in_the_dtype_asked_for(stored: str, asked: str) -> None:
    kind = ml_dtypes.bfloat16 if stored == "bfloat16" else stored
    tensors = DictTensors({k: v.astype(kind) for k, v in random_prior().arrays.items()})
    prior = create().load(source("PriorTransformer", PRIOR, tensors), asked)
    assert prior.dtype == asked
    back = {name: p.asnumpy() for name, p in parameters_by_name(prior._cell).items()}
    assert back.keys() == tensors.arrays.keys()
    for name, array in back.items():
        np.testing.assert_array_equal(array, tensors.arrays[name].astype(asked), err_msg=name)


def prior_file(path: Path, dtype: str, offset: int = 0) -> Path:
    """Random weights of the prior in a file whose data begins at `offset` modulo 8."""
    code = {"float32": "F32", "float16": "F16"}[dtype]
    arrays = {name: array.astype(dtype) for name, array in random_prior().arrays.items()}
    raw_safetensors(path, {name: (code, array) for name, array in arrays.items()}, offset)
    return path


def load_file(path: Path, dtype: str) -> Any:
    return create().load(source("PriorTransformer", PRIOR, SafetensorsFiles([path])), dtype)


def mapped_bytes(path: Path) -> int:
    """How much of this process's memory are windows into a file."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ranges = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return sum(int(end, 16) - int(start, 16) for start, end in ranges)


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@needs_proc
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_of_the_dtype_asked_for_stay_in_their_file(tmp_path: Path, dtype: str) -> None:
    path = prior_file(tmp_path / "w.safetensors", dtype)
    content = path.read_bytes()
    prior = load_file(path, dtype)
    gc.collect()
    assert mapped_bytes(path) >= len(content)
    for parameter in prior._cell.get_parameters():
        ms.ops.assign(parameter, parameter + 1)
    assert path.read_bytes() == content, "the file was written"
    changed = prior.clip_statistics()[0]
    stored = SafetensorsFiles([path]).read("clip_mean")
    np.testing.assert_array_equal(changed, (stored + stored.dtype.type(1)).astype(np.float32))


@needs_proc
def test_a_network_that_is_gone_leaves_its_file(tmp_path: Path) -> None:
    path = prior_file(tmp_path / "w.safetensors", "float32")
    prior = load_file(path, "float32")
    assert mapped_bytes(path) > 0
    del prior
    gc.collect()
    assert mapped_bytes(path) == 0


@needs_proc
@pytest.mark.parametrize(("stored", "asked"), [("float32", "float16"), ("float16", "float32")])
def test_converted_weights_leave_their_file(tmp_path: Path, stored: str, asked: str) -> None:
    path = prior_file(tmp_path / "w.safetensors", stored)
    prior = load_file(path, asked)
    gc.collect()
    assert mapped_bytes(path) == 0
    assert prior.dtype == asked


@pytest.mark.parametrize("offset", [0, 1, 2, 4])
def test_the_place_of_data_in_a_file_changes_nothing(tmp_path: Path, offset: int) -> None:
    """The published 2.1 files begin theirs at 2 modulo 4, where it cannot be used in place."""
    prior = load_file(prior_file(tmp_path / "w.safetensors", "float32", offset), "float32")
    held = create().load(source("PriorTransformer", PRIOR, random_prior()), "float32")
    conditioning = {
        "prompt_embeds": np.ones((1, 6), np.float32),
        "text_encoder_hidden_states": np.ones((1, 5, 6), np.float32),
        "text_mask": np.ones((1, 5), bool),
    }
    results = []
    for network in (prior, held):
        run = network.begin(np.ones((1, 6), np.float32), conditioning, 1.0)
        run.step(5, make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0], None)
        results.append(run.read())
    np.testing.assert_array_equal(*results)


@needs_proc
def test_misaligned_weights_are_copied(tmp_path: Path) -> None:
    path = prior_file(tmp_path / "w.safetensors", "float32", 2)
    prior = load_file(path, "float32")
    gc.collect()
    assert mapped_bytes(path) == 0
    assert prior.dtype == "float32"


def test_bfloat16_is_held_as_it_is_stored() -> None:
    """For an NPU: a CPU does not compute in it."""
    arrays = {k: v.astype(ml_dtypes.bfloat16) for k, v in random_prior().arrays.items()}
    network = build_network(PriorTransformerConfig.from_dict(PRIOR))
    fill_network(network, "PriorTransformer", DictTensors(arrays), "bfloat16")
    for name, parameter in parameters_by_name(network).items():
        assert str(parameter.dtype) == "BFloat16"
        np.testing.assert_array_equal(
            parameter.float().asnumpy(), arrays[name].astype(np.float32), err_msg=name
        )


def test_the_codebook_is_no_parameter_and_old_names_are_known() -> None:
    generator = np.random.default_rng(6)
    modern = {
        name: generator.standard_normal(parameter.shape, np.float32)
        for name, parameter in parameters_by_name(build_network(MOVQ)).items()
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
    movq = create().load(source("VQModel", dataclasses.asdict(MOVQ), tensors), "float32")
    back = parameters_by_name(movq._cell)
    assert all(np.array_equal(back[name].asnumpy(), array) for name, array in modern.items())
    assert "quantize.embedding.weight" not in back


def test_refusals() -> None:
    backend, tensors = create(), random_prior()
    with pytest.raises(ConfigError, match="has no VAE; it has AutoencoderKL, CLIPText"):
        backend.load(source("VAE", {}, tensors), "float32")
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


def test_casts_and_refusals_of_a_loaded_pipeline() -> None:
    pipe = load()
    for device, message in {"npu": "finds no Ascend", "cuda": "no device 'cuda'"}.items():
        with pytest.raises(BackendUnavailableError, match=message):
            pipe.to(device)
    with pytest.raises(InvalidInputError, match="bfloat16"):
        pipe.to("bfloat16")
    assert pipe.dtype == "float32"
    pipe.to("float16")
    loaded = load("float16")
    for name, network in pipe.networks.items():
        twin = parameters_by_name(loaded.networks[name]._cell)
        for path, parameter in parameters_by_name(network._cell).items():
            np.testing.assert_array_equal(parameter.asnumpy(), twin[path].asnumpy(), err_msg=path)


def test_report_names_versions_and_devices() -> None:
    report = get_backend("mindspore").report()
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
