"""There and back is bit for bit, in every order; and both backends load what was converted."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.layouts import native_name
from kandinsky_converters.manifests import manifests
from kandinsky_converters.sources import REPORT
from kandinsky_converters.writers import ALIGNMENT, write_safetensors
from kandinsky_core import KandinskyV22Pipeline, get_backend
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.file_names import NATIVE
from kandinsky_core.checkpoints.hub import EMBEDDED
from kandinsky_core.checkpoints.mindspore_files import MindSporeFile
from kandinsky_core.checkpoints.safetensors_files import SafetensorsFiles
from kandinsky_core.errors import CheckpointError, InvalidInputError
from tests.support.damage import edit_json, edit_tensors, raw_safetensors
from tests.support.torch_archive import write_torch_file

PARTS = ("prior/prior", "prior/text_encoder", "prior/image_encoder", "decoder/unet", "decoder/movq")
# One network of each class, 2.1's too, made small; the names are those of the full size.
T5 = {
    "d_ff": 40,
    "d_kv": 8,
    "d_model": 24,
    "num_heads": 4,
    "num_layers": 2,
    "vocab_size": 99,
}
_SMALL_3 = {
    "block_out_channels": [8, 16, 24, 32],
    "cross_attention_dim": 12,
    "time_embedding_dim": 16,
}
SMALL = {
    "UNet2DConditionModel": {
        "block_out_channels": [32, 64, 64, 64],
        "cross_attention_dim": 32,
        "encoder_hid_dim": 24,
    },
    "VQModel": {"block_out_channels": [32, 64, 64, 64], "num_vq_embeddings": 12},
    "PriorTransformer": {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "embedding_dim": 24,
    },
    "CLIPTextModelWithProjection": {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "projection_dim": 24,
        "vocab_size": 99,
    },
    "CLIPVisionModelWithProjection": {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "projection_dim": 24,
        "image_size": 42,
    },
    "AutoencoderKL": {"block_out_channels": [32] * 4},
    "Kandinsky20UNet": {
        "attention_head_dim": 16,
        "block_out_channels": [32] * 4,
        "cross_attention_dim": 12,
        "encoder_hid_dim": 20,
        "encoder_hid_dim_2": 16,
        "text_embed_dim": 8,
    },
    "Kandinsky3ControlNetModel": _SMALL_3,
    "Kandinsky3UNet": _SMALL_3 | {"encoder_hid_dim": 20},
    "KandinskySuperResUNet": {
        "block_out_channels": [32, 32, 64, 32],
        "init_channels": 32,
        "time_embedding_dim": 16,
    },
    "MultilingualCLIP": {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "vocab_size": 99,
    },
    "MT5EncoderModel": T5,
    "T5EncoderModel": T5,
}
PUBLISHED = list(manifests())


def tensors(folder: Path) -> dict[str, bytes]:
    """Every tensor of a folder in diffusers' layout, with dtype and shape."""
    return {
        f"{path.parent.relative_to(folder)}/{name}": repr((array.dtype.name, array.shape)).encode()
        + array.tobytes()
        for path in sorted(folder.rglob("*.safetensors"))
        for name, array in load_file(path).items()
    }


def copy_pair(target: Path) -> Path:
    """The embedded prior and decoder; its other folders are more of the same."""
    for half in ("prior", "decoder"):
        shutil.copytree(EMBEDDED["shapes"] / half, target / half)
    return target


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Free to be damaged."""
    return copy_pair(tmp_path / "model")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model for JAX, from there for MindSpore, and back from each."""
    folder = tmp_path_factory.mktemp("converted")
    convert(copy_pair(folder / "pair"), "jax", folder / "jax")
    convert(folder / "jax", "mindspore", folder / "mindspore")
    convert(folder / "jax", "diffusers", folder / "from jax")
    convert(folder / "mindspore", "diffusers", folder / "from mindspore")
    convert(folder / "mindspore", "jax", folder / "jax again")
    return folder


@pytest.mark.parametrize("way", ["from jax", "from mindspore"])
def test_back_in_diffusers_layout_all_is_as_it_was(converted: Path, way: str) -> None:
    assert tensors(converted / way) == tensors(converted / "pair")
    for path in (converted / "pair").rglob("*.*"):
        if path.suffix in (".json", ".txt", ".md"):
            copy = converted / way / path.relative_to(converted / "pair")
            assert copy.read_bytes() == path.read_bytes()


def test_the_same_conversion_gives_the_same_bytes(converted: Path) -> None:
    for part in PARTS:
        first = converted / "jax" / part / NATIVE["jax"]
        assert first.read_bytes() == (converted / "jax again" / part / first.name).read_bytes()


@pytest.mark.parametrize("manifest", PUBLISHED, ids=lambda manifest: manifest.name)
def test_every_published_network_goes_round_small(tmp_path: Path, manifest: Any) -> None:
    config = {**manifest.config, **SMALL[manifest.class_name], "_class_name": manifest.class_name}
    shapes = expected_tensors(manifest.class_name, config)
    assert set(shapes) <= set(manifest.tensors)
    rng = np.random.default_rng(3)
    arrays = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    source = tmp_path / "source"
    (source / "part").mkdir(parents=True)
    (source / "part" / "config.json").write_text(json.dumps(config))
    report = {"components": {"part": {"class": manifest.class_name}}}
    (source / "conversion.json").write_text(json.dumps(report))
    save_file(arrays, source / "part" / "model.safetensors")
    for target in ("jax", "mindspore"):
        convert(source, target, tmp_path / target)
        convert(tmp_path / target, "diffusers", tmp_path / f"from {target}")
        assert tensors(tmp_path / f"from {target}") == tensors(source)


def test_full_size_names_and_shapes_go_round() -> None:
    """Every published name comes back from JAX's and MindSpore's, and no two become one."""
    from kandinsky_converters.layouts.leaf_rules import JAX_RULES, MINDSPORE_RULES

    for manifest in PUBLISHED:
        for layout, rules in (("jax", JAX_RULES), ("mindspore", MINDSPORE_RULES)):
            natives = set()
            for name, (dtype, shape) in manifest.tensors.items():
                if dtype == "I64":
                    continue
                native = native_name(layout, name, len(shape))
                cell, dot, leaf = native.rpartition(".")
                rule = rules.rule_for(leaf, len(shape))
                assert f"{cell}{dot}{rule.torch_leaf}" == name
                native_shape = shape if rule.axes is None else tuple(shape[a] for a in rule.axes)
                assert rule.torch_shape(native_shape) == shape
                natives.add(native)
            assert len(natives) == len([d for d, _ in manifest.tensors.values() if d != "I64"])


@pytest.mark.slow  # two compilations
@pytest.mark.parametrize(("backend", "layout"), [("jax", "mindspore"), ("mindspore", "jax")])
def test_pipelines_load_what_was_converted(converted: Path, backend: str, layout: str) -> None:
    pytest.importorskip(backend)
    pictures = [
        KandinskyV22Pipeline.from_pretrained(folder, backend=backend)
        for folder in (EMBEDDED["shapes"], converted / layout)
    ]
    size = pictures[0].unet.config.encoder_hid_dim
    embeds = np.random.default_rng(2).standard_normal((1, size), np.float32)
    first, second = (
        pipeline(
            image_embeds=embeds,
            negative_image_embeds=-embeds,
            height=32,
            width=32,
            num_inference_steps=2,
            seed=1,
            output_type="np",
        ).images
        for pipeline in pictures
    )
    np.testing.assert_array_equal(first, second)


def test_jax_takes_its_own_file_as_it_is(converted: Path) -> None:
    """On a CPU the parameters are windows into the file, at the dtype that it is stored in."""
    jax = pytest.importorskip("jax")
    source = Checkpoint.open(converted / "jax/decoder").components["unet"]
    opened: Any = source.tensors()
    component: Any = get_backend("jax").load(_Fixed(source, opened), "float16", "cpu")
    (file,) = opened._maps.values()
    start = file.window(0, file.size).ctypes.data
    leaves = jax.tree.leaves(component._weights)
    inside = [leaf for leaf in leaves if start <= leaf.unsafe_buffer_pointer() < start + file.size]
    assert sum(leaf.nbytes for leaf in inside) > 0.99 * sum(leaf.nbytes for leaf in leaves)


class _Fixed:
    """A component whose weights were opened already."""

    def __init__(self, component: Any, tensors: Any) -> None:
        self.class_name, self.config = component.class_name, component.config
        self._tensors = tensors

    def tensors(self) -> Any:
        return self._tensors


def test_large_tensors_lie_where_jax_takes_them(converted: Path) -> None:
    for part in PARTS:
        path = converted / "jax" / part / NATIVE["jax"]
        file = SafetensorsFiles([path])
        for name in file.names():
            if file.read(name).nbytes % ALIGNMENT == 0:
                assert file._starts[name] % ALIGNMENT == 0
        with safe_open(path, framework="np") as other:
            assert set(other.keys()) == set(file.names())


def test_mixed_dtypes_stay_aligned(tmp_path: Path) -> None:
    arrays = {
        "a": np.ones(3, np.float16),
        "b": np.ones(5, np.float32),
        "c": np.ones((7,), ml_dtypes.bfloat16),
        "d": np.float32(1).reshape(()),
        "e": np.ones((16, 4), np.float32),
    }
    codes = {"float16": "F16", "float32": "F32", "bfloat16": "BF16"}
    specs = {name: (array.shape, codes[array.dtype.name]) for name, array in arrays.items()}
    path = tmp_path / "w.safetensors"
    digest = write_safetensors(path, specs, arrays.__getitem__, {"format": "pt"})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    file = SafetensorsFiles([path])
    for name, array in arrays.items():
        assert file.read(name).tobytes() == array.tobytes()
        assert file._starts[name] % array.itemsize == 0


def test_dtypes_are_cast_and_movq_stays_precise(model: Path, tmp_path: Path) -> None:
    report = convert(model, "jax", tmp_path / "out", dtype="bfloat16")
    assert report["decoder"].components["unet"].dtypes == ["BF16"]
    assert report["decoder"].components["movq"].dtypes == ["F32"]
    assert list(check(model, tmp_path / "out")) == []


def test_report_accounts_for_everything(model: Path, tmp_path: Path) -> None:
    encoder = model / "prior/text_encoder/model.safetensors"
    positions = "text_model.embeddings.position_ids"
    edit_tensors(encoder, **{positions: np.arange(77)[None]})
    convert(model, "jax", tmp_path / "out")
    report = json.loads((tmp_path / "out/prior/conversion.json").read_text())
    entry = report["components"]["text_encoder"]
    assert list(entry["ignored"]) == [positions]
    assert entry["source_tensors"] == entry["used"] + 1 == entry["tensors"] + 1
    assert entry["sources"][encoder.name] == hashlib.sha256(encoder.read_bytes()).hexdigest()
    written = tmp_path / "out/prior/text_encoder" / NATIVE["jax"]
    assert entry["files"] == {written.name: hashlib.sha256(written.read_bytes()).hexdigest()}
    assert entry["class"] == "CLIPTextModelWithProjection"
    assert report["target"] == "jax"
    assert set(report["versions"]) == {"kandinsky", "numpy"}
    file = SafetensorsFiles([written])
    sizes = [np.prod(file.spec(name)[0]) for name in file.names()]
    assert (entry["tensors"], entry["parameters"]) == (len(sizes), sum(sizes))


def test_pickled_sharded_and_misaligned_sources(model: Path, tmp_path: Path) -> None:
    expected = tensors(model)
    unet = model / "decoder/unet/diffusion_pytorch_model.safetensors"
    write_torch_file(unet.with_suffix(".bin"), load_file(unet))
    unet.unlink()
    prior = model / "prior/prior/diffusion_pytorch_model.safetensors"
    arrays = load_file(prior)
    half = len(arrays) // 2
    shards = {"one.safetensors": list(arrays)[:half], "two.safetensors": list(arrays)[half:]}
    for name, own in shards.items():
        save_file({key: arrays[key] for key in own}, prior.with_name(name))
    table = {key: name for name, own in shards.items() for key in own}
    index = prior.with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": table}))
    prior.unlink()
    movq = model / "decoder/movq/diffusion_pytorch_model.safetensors"
    loaded = load_file(movq)
    raw_safetensors(movq, {name: ("F16", array) for name, array in loaded.items()}, 3)
    encoder = model / "prior/image_encoder/model.safetensors"
    loaded = load_file(encoder)
    middle = len(loaded) // 2
    for number, part in enumerate((list(loaded)[:middle], list(loaded)[middle:])):
        own = {name: loaded[name] for name in part}
        write_torch_file(encoder.with_name(f"pytorch_model-{number}.bin"), own)
    table = {name: f"pytorch_model-{int(place >= middle)}.bin" for place, name in enumerate(loaded)}
    index = encoder.with_name("pytorch_model.bin.index.json")
    index.write_text(json.dumps({"weight_map": table}))
    encoder.unlink()
    convert(model, "diffusers", tmp_path / "out")
    assert tensors(tmp_path / "out") == expected
    assert list(check(model, tmp_path / "out")) == []


def test_missing_shards_are_an_error_even_beside_pickles(model: Path, tmp_path: Path) -> None:
    unet = model / "decoder/unet/diffusion_pytorch_model.safetensors"
    write_torch_file(unet.with_suffix(".bin"), load_file(unet))
    table = {"conv_in.bias": "gone.safetensors"}
    unet.unlink()
    index = unet.with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": table}))
    with pytest.raises(CheckpointError, match=r"lacks 1 of 1 shards"):
        convert(model / "decoder", "jax", tmp_path / "out")


def test_legacy_attention_names_become_modern(model: Path, tmp_path: Path) -> None:
    movq = model / "decoder/movq/diffusion_pytorch_model.safetensors"
    expected = tensors(model / "decoder/movq")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    legacy = {}
    for name, array in load_file(movq).items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        legacy[name] = array
    save_file(legacy, movq)
    convert(model / "decoder", "diffusers", tmp_path / "out", components=["movq"])
    assert tensors(tmp_path / "out/movq") == expected


def test_check_finds_every_kind_of_difference(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(model, "mindspore", out)
    assert list(check(model, out)) == []
    path = out / "decoder/unet" / NATIVE["mindspore"]
    content = bytearray(path.read_bytes())
    file = MindSporeFile(path)
    start, _ = file._pieces["conv_in.weight"][0]
    content[start + 6] ^= 1
    path.write_bytes(content)
    edit_json(out / "prior/prior/config.json", dropout=0.5)
    (out / "prior/tokenizer/vocab.json").write_text("{}")
    (out / "decoder/scheduler/scheduler_config.json").unlink()
    found = sorted(check(model, out))
    assert (
        found
        == [
            "prior: another class or config",
            "prior/config.json differs",
            "scheduler/scheduler_config.json is missing",
            "tokenizer/vocab.json differs",
            "unet: conv_in.weight differs in 1 of 1728 values",
        ]
        or len(found) == 5
    )
    assert any("conv_in.weight differs in 1 of" in line for line in found)


def test_single_components_and_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no vae to convert; it has .*movq"):
        convert("shapes", "jax", tmp_path / "out", components=["vae"])
    with pytest.raises(InvalidInputError, match="choose diffusers, jax, mindspore"):
        convert("shapes", "flax", tmp_path / "out")
    decoder = EMBEDDED["shapes"] / "decoder"
    convert(decoder, "jax", tmp_path / "movq", components=["movq"])
    assert {path.name for path in (tmp_path / "movq").iterdir()} == {"movq", "conversion.json"}
    assert list(check(decoder, tmp_path / "movq")) == []
    convert("shapes", "jax", tmp_path / "two", components=["unet", "prior"])
    assert {path.name for path in (tmp_path / "two/prior").iterdir()} == {"prior", REPORT}
    convert(tmp_path / "two", "diffusers", tmp_path / "back")
    for part in ("decoder/unet", "prior/prior"):
        assert tensors(tmp_path / "back" / part) == tensors(EMBEDDED["shapes"] / part)
    assert list(check("shapes", tmp_path / "two")) == []
