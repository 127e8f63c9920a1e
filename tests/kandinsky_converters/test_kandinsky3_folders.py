"""Folders of Kandinsky 3 in diffusers' layout: half precision but for T5's `wo`, shards, variants.

On the originals see `tests/parity/test_convert_original_kandinsky3.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kandinsky_backend_kit.t5_parts import T5Parts
from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core.checkpoints.checkpoint import Checkpoint, Component
from kandinsky_core.checkpoints.file_names import NATIVE
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.configs import T5Config
from kandinsky_core.errors import CheckpointError, ConfigError, InvalidInputError
from tests.support.backends import BACKENDS
from tests.support.kandinsky3 import MOVQ_JSON, T5_JSON, UNET_JSON
from tests.support.torch_archive import write_torch_file

UNET = UNET_JSON | {
    "block_out_channels": [8, 16, 24, 32],
    "cross_attention_dim": 12,
    "encoder_hid_dim": 24,
    "time_embedding_dim": 16,
}
MOVQ = MOVQ_JSON | {"block_out_channels": [32, 64, 64, 64], "num_vq_embeddings": 12}
T5 = T5_JSON | {
    "d_ff": 40,
    "d_kv": 8,
    "d_model": 24,
    "num_heads": 4,
    "num_layers": 2,
    "vocab_size": 99,
}
FP16 = HubOptions(variant="fp16")
TWINS = ("shared.weight", "encoder.embed_tokens.weight")

Arrays = dict[str, np.ndarray]


def values(class_name: str, config: dict[str, Any]) -> Arrays:
    """As they are published: float16, but T5's `wo`."""
    rng = np.random.default_rng(3)
    return {
        name: rng.standard_normal(shape, np.float32).astype(
            np.float32 if name.endswith(".wo.weight") else np.float16
        )
        for name, shape in expected_tensors(class_name, config).items()
    }


def shards(arrays: Arrays, stem: str, suffix: str, count: int) -> dict[str, Arrays]:
    """In the order of names, as transformers cuts."""
    names = sorted(arrays)
    size = -(-len(names) // count)
    return {
        f"{stem}-{number + 1:05}-of-{count:05}{suffix}": {
            name: arrays[name] for name in names[number * size :][:size]
        }
        for number in range(count)
    }


def write_index(path: Path, pieces: dict[str, Arrays]) -> None:
    table = {name: file for file, own in pieces.items() for name in own}
    path.write_text(json.dumps({"metadata": {}, "weight_map": table}))


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `kandinsky-community/kandinsky-3` is: nothing but the variant."""
    root = tmp_path_factory.mktemp("published") / "kandinsky-3"
    for name, class_name, config in (("unet", "Kandinsky3UNet", UNET), ("movq", "VQModel", MOVQ)):
        folder = write_config(root / name, config)
        arrays = values(class_name, config)
        save_file(arrays, folder / "diffusion_pytorch_model.fp16.safetensors")
    folder = write_config(root / "text_encoder", T5)
    pieces = shards(values("T5EncoderModel", T5), "model.fp16", ".safetensors", 5)
    for file, own in pieces.items():
        save_file(own, folder / file)
    write_index(folder / "model.safetensors.index.fp16.json", pieces)
    (root / "tokenizer").mkdir()
    (root / "tokenizer/spiece.model").write_bytes(b"pieces")
    write_config(root / "scheduler", {"_class_name": "DDPMScheduler"})
    index = {
        "_class_name": "Kandinsky3Pipeline",
        "movq": ["diffusers", "VQModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "unet": ["diffusers", "Kandinsky3UNet"],
    }
    (root / "model_index.json").write_text(json.dumps(index))
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """Every tensor below a folder, with its dtype, whatever files it is in."""
    return {
        f"{path.parent.name}/{name}": array.dtype.name.encode() + array.tobytes()
        for path in sorted(folder.rglob("*.safetensors"))
        for name, array in load_file(path).items()
    }


@pytest.mark.parametrize("target", ["jax", "mindspore"])
def test_a_model_goes_round(model: Path, tmp_path: Path, target: str) -> None:
    report = convert(model, target, tmp_path / target, options=FP16)[""].components
    assert report["text_encoder"].dtypes == ["F16", "F32"]
    assert len(report["text_encoder"].sources) == 5
    assert report["unet"].tensors == report["unet"].source_tensors == 1071
    assert (tmp_path / target / "tokenizer/spiece.model").read_bytes() == b"pieces"
    convert(tmp_path / target, "diffusers", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(model)
    assert (tmp_path / "back/text_encoder/model.safetensors").is_file()
    assert list(check(model, tmp_path / target, options=FP16)) == []


def test_half_precision_is_not_for_t5(model: Path, tmp_path: Path) -> None:
    """In float16 its sums overflow, so it gets bfloat16; MoVQ stays precise."""
    report = convert(model, "jax", tmp_path / "out", dtype="float16", options=FP16)[""].components
    dtypes = {name: item.dtypes for name, item in report.items()}
    assert dtypes == {"movq": ["F32"], "text_encoder": ["BF16"], "unet": ["F16"]}
    assert list(check(model, tmp_path / "out", options=FP16)) == []


def test_only_the_variant_is_there(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights for no variant"):
        convert(model, "jax", tmp_path / "out")


@pytest.mark.parametrize("names", [TWINS, TWINS[:1], TWINS[1:]], ids=["both", "new", "old"])
def test_the_encoder_of_flan_ul2_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    """ai-forever's folder: pickled shards, a config, no model_index.json."""
    arrays = values("T5EncoderModel", T5)
    table = arrays.pop(TWINS[0])
    stored = arrays | dict.fromkeys(names, table)
    folder = write_config(tmp_path / "flan_ul2_encoder", T5)
    pieces = shards(stored, "pytorch_model", ".bin", 4)
    for file, own in pieces.items():
        write_torch_file(folder / file, own)
    write_index(folder / "pytorch_model.bin.index.json", pieces)
    small = {"0.weight": np.eye(2, dtype=np.float32)}
    write_torch_file(folder / "projection.pt", small)  # a UNet's; not of this network
    report = convert(folder, "diffusers", tmp_path / "out")[""].components["text_encoder"]
    assert report.ignored == ({TWINS[1]: f"the same as {TWINS[0]}"} if len(names) == 2 else {})
    assert report.used == report.tensors == len(arrays) + 1
    written = load_file(tmp_path / "out/text_encoder/model.safetensors")
    assert set(written) == {*arrays, TWINS[0]}
    assert np.array_equal(written[TWINS[0]], table)
    assert json.loads((tmp_path / "out/text_encoder/config.json").read_text()) == T5
    assert list(check(folder, tmp_path / "out")) == []
    with pytest.raises(InvalidInputError, match="has no unet to convert; it has text_encoder"):
        convert(folder, "jax", tmp_path / "other", components=["unet"])


@pytest.mark.parametrize("layout", ["jax", "mindspore"])
def test_t5_is_read_in_parts_from_any_layout(model: Path, tmp_path: Path, layout: str) -> None:
    convert(model, layout, tmp_path / "out", components=["text_encoder"], options=FP16)
    folder = tmp_path / "out/text_encoder"
    assert (folder / NATIVE[layout]).is_file()
    component = Component("text_encoder", "", "T5EncoderModel", folder)
    parts = T5Parts(component.tensors(), T5Config.from_dict(T5))
    block, arrays = parts.block(1), values("T5EncoderModel", T5)
    for name in block.names():
        assert np.array_equal(block.read(name), arrays[f"encoder.block.1.{name}"]), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_backends_load_what_was_converted(model: Path, tmp_path: Path, backend: str) -> None:
    from kandinsky_core import get_backend

    convert(model, backend, tmp_path / "out", components=["text_encoder"], options=FP16)
    native = Component("text_encoder", "", "T5EncoderModel", tmp_path / "out/text_encoder")
    published = Checkpoint.open(model, variant="fp16").components["text_encoder"]
    ids = np.arange(12, dtype=np.int32).reshape(2, 6)
    mask = np.arange(6)[None] < np.array([[4], [6]])
    first, second = (
        get_backend(backend).load(component, "float32").encode(ids, mask)
        for component in (published, native)
    )
    np.testing.assert_array_equal(first, second)


def test_a_unet_of_a_class_that_is_no_more_is_told_by_its_tensors(
    model: Path, tmp_path: Path
) -> None:
    """Of kandinsky3-diffusers, and of the first revisions of the published folder."""
    index = json.loads((model / "model_index.json").read_text())
    index["unet"] = ["diffusers", "UNetKandi3"]
    folder = write_config(tmp_path / "old/unet", UNET | {"_class_name": "UNetKandi3"}).parent
    (folder / "model_index.json").write_text(json.dumps(index))
    save_file({"in_layer.weight": np.zeros(1)}, folder / "unet/model.safetensors")
    with pytest.raises(ConfigError, match="the fork's config lacks model_channels"):
        convert(folder, "jax", tmp_path / "out", components=["unet"])
