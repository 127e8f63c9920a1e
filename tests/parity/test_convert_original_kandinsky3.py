"""ai-forever's files of 3.0 and 3.1: random weights in their layout give diffusers' outputs.

`original_kandinsky3` makes the files.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_converters.check import check
from kandinsky_converters.convert import convert
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.layouts.accounting import audit
from kandinsky_converters.manifests import manifests, recognise
from kandinsky_converters.originals.configs import original_config
from kandinsky_converters.originals.tensors import OriginalTensors
from kandinsky_core.configs.networks import unused_tensors
from kandinsky_core.errors import CheckpointError
from tests.parity import tiny
from tests.parity.original_kandinsky3 import (
    MOVQ,
    PROJECTION,
    UNET,
    arrays_of,
    null_embedding,
    original_movq,
    original_unet,
    projection,
    save,
)
from tests.support.dict_tensors import DictTensors

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
safetensors_numpy = pytest.importorskip("safetensors.numpy")


def predictions(*models: Any, channels: int = 4) -> list[Any]:
    """Of models none of whose weights takes a gradient: PyTorch has other kernels for those."""
    generator = torch.Generator().manual_seed(5)
    sample = torch.randn(2, channels, 8, 16, generator=generator)
    states = torch.randn(2, 7, UNET["encoder_hid_dim"], generator=generator)
    mask = torch.arange(7)[None] < torch.tensor([[3], [7]])
    times = torch.tensor([999, 3])
    with torch.no_grad():
        models = tuple(model.eval().requires_grad_(requires_grad=False) for model in models)
        return [model(sample, times, states, mask).sample for model in models]


@pytest.fixture(scope="module")
def unet() -> Any:
    return tiny.kandinsky3_unet(UNET)


@pytest.mark.parametrize("form", ["3.0", "3.1", "kandinsky3-diffusers"])
def test_unet(unet: Any, form: str) -> None:
    state, beside = arrays_of(unet), None
    bare, own = original_unet(state), projection(state)
    assert (len(state), len(bare), len(own)) == (1071, 1068, 3)  # as the published files have
    if form == "kandinsky3-diffusers":
        made = bare | {"projection_lin.weight": own["0.weight"]}
        made |= {f"projection_ln.{leaf}": own[f"1.{leaf}"] for leaf in ("weight", "bias")}
    else:
        made = {f"unet.{name}": array for name, array in bare.items()}
        made["null_embedding"] = null_embedding()
        if form == "3.0":
            made |= {f"projections.t5.{name}": array for name, array in own.items()}
        else:
            beside = DictTensors(own)
    seen = OriginalTensors("unet3", DictTensors(made), beside)
    assert seen.unknown == []
    class_name, config = original_config("unet3", seen)
    assert audit(class_name, expected_tensors(class_name, config), seen).fault == ""
    twin = diffusers.Kandinsky3UNet.from_config(config)
    found = {name: torch.from_numpy(np.array(seen.read(name))) for name in seen.names()}
    twin.load_state_dict(found, strict=True)
    assert torch.equal(*predictions(unet, twin))


def test_inpainting_unet() -> None:
    model = tiny.kandinsky3_inpainting_unet(UNET)
    state = arrays_of(model)
    made = {f"unet.{name}": array for name, array in original_unet(state).items()}
    seen = OriginalTensors("unet3", DictTensors(made), DictTensors(projection(state)))
    class_name, config = original_config("unet3", seen)
    assert (config["in_channels"], config["out_channels"]) == (9, 4)
    assert audit(class_name, expected_tensors(class_name, config), seen).fault == ""
    own = {name: config[name] for name in UNET} | {"in_channels": 4}
    twin = tiny.kandinsky3_inpainting_unet(own)
    twin.load_state_dict({name: torch.from_numpy(seen.read(name)) for name in seen.names()})
    assert torch.equal(*predictions(model, twin, channels=9))


def test_movq() -> None:
    model = tiny.movq(MOVQ)
    made = original_movq(arrays_of(model))
    assert len(made) == 430  # as the published file has
    seen = OriginalTensors("movq3", DictTensors(made))
    assert seen.unknown == []
    class_name, config = original_config("movq3", seen)
    assert audit(class_name, expected_tensors(class_name, config), seen).fault == ""
    twin = diffusers.VQModel.from_config(config).eval().requires_grad_(requires_grad=False)
    found = {name: torch.from_numpy(np.array(seen.read(name))) for name in seen.names()}
    assert twin.load_state_dict(found, strict=False).missing_keys == ["quantize.embedding.weight"]
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        latents = [net.encode(pixels).latents for net in (model, twin)]
        decoded = [net.decode(latents[0], force_not_quantize=True).sample for net in (model, twin)]
    assert torch.equal(*latents)
    assert torch.equal(*decoded)


@pytest.mark.parametrize(
    "name", ["kandinsky-3/unet", "Kandinsky3.1/kandinsky3_inpainting", "kandinsky-3/movq"]
)
def test_the_published_names_are_those_of_the_rules(name: str) -> None:
    """Full size: by the inverse to the original's names, and back."""
    manifest = next(entry for entry in manifests("3.0", "3.1") if entry.name == name)
    state = {  # broadcast: the values take no memory
        tensor: np.broadcast_to(np.float32(0), shape)
        for tensor, (_, shape) in manifest.tensors.items()
    }
    if manifest.class_name == "VQModel":
        seen = OriginalTensors("movq3", DictTensors(original_movq(state)))
    else:
        made = {f"unet.{tensor}": array for tensor, array in original_unet(state).items()}
        seen = OriginalTensors("unet3", DictTensors(made), DictTensors(projection(state)))
    kind = "movq3" if manifest.class_name == "VQModel" else "unet3"
    class_name, config = original_config(kind, seen)
    assert config == {"_class_name": class_name, **manifest.config}
    expected = expected_tensors(class_name, config)
    assert audit(class_name, expected, seen).fault == ""
    assert recognise(class_name, seen, unused_tensors(class_name)) == name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, unet: Any) -> Path:
    """The repository of 3.1, small."""
    weights = tmp_path_factory.mktemp("Kandinsky3.1") / "weights"
    state = arrays_of(unet)
    save(weights / "kandinsky3.pt", unet=original_unet(state), null_embedding=null_embedding())
    for number, suffix in enumerate(("", "_flash", "_inpainting")):
        own = {name: array + np.float32(number) for name, array in projection(state).items()}
        save(weights / f"flan_ul2_encoder/projection{suffix}.pt", **own)
    save(weights / "movq.pt", **original_movq(arrays_of(tiny.movq(MOVQ))))
    return weights


@pytest.mark.slow
def test_files_of_3_1_go_all_the_way(folder: Path, tmp_path: Path, unet: Any) -> None:
    """To diffusers, to both backends and back; the null embedding with them."""
    report = convert(folder, "diffusers", tmp_path / "new")[""].components
    assert {name: (item.used, item.tensors) for name, item in report.items()} == {
        "movq": (430, 430),
        "unet": (1068 + 3 + 1, 1071),
    }
    assert set(report["unet"].sources) == {"kandinsky3.pt", "projection.pt"}
    assert "null_embedding.safetensors" in report["unet"].files
    loaded = diffusers.Kandinsky3UNet.from_pretrained(tmp_path / "new/unet")
    assert torch.equal(*predictions(unet, loaded))
    for target in ("jax", "mindspore"):
        convert(tmp_path / "new", target, tmp_path / target, dtype="float16")
        assert list(check(folder, tmp_path / target)) == []
        path = tmp_path / target / "unet/null_embedding.safetensors"
        found = safetensors_numpy.load_file(path)["null_embedding"]
        assert found.tobytes() == null_embedding().tobytes()
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "new", other)
    values = {"null_embedding": null_embedding() + 1}
    safetensors_numpy.save_file(values, other / "unet/null_embedding.safetensors")
    assert list(check(folder, other)) == ["unet: null_embedding differs"]
    values = {"null_embedding": null_embedding(8)}
    safetensors_numpy.save_file(values, other / "unet/null_embedding.safetensors")
    with pytest.raises(CheckpointError, match=r"must hold 'null_embedding' alone, of shape \[40\]"):
        convert(other, "jax", tmp_path / "refused")


def test_a_file_of_3_0_has_its_projection_within(tmp_path: Path, unet: Any) -> None:
    """Then no second file is asked for, nor does its own name matter."""
    state = arrays_of(unet)
    path = save(
        tmp_path / "mine.pt",
        unet=original_unet(state),
        projections={"t5": projection(state)},
        null_embedding=null_embedding(),
    )
    report = convert(path, "diffusers", tmp_path / "new")[""].components["unet"]
    assert (report.used, report.tensors, report.ignored) == (1072, 1071, {})
    found = safetensors_numpy.load_file(tmp_path / "new/unet/diffusion_pytorch_model.safetensors")
    assert {name: array.tobytes() for name, array in found.items()} == {
        name: array.tobytes() for name, array in state.items()
    }


def test_each_unet_of_3_1_has_its_own_projection(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "kandinsky3.pt", tmp_path / "kandinsky3_flash.pt")
    with pytest.raises(CheckpointError, match=r"put projection_flash.pt of flan_ul2_encoder besid"):
        convert(tmp_path / "kandinsky3_flash.pt", "jax", tmp_path / "out")
    for name in ("projection.pt", "projection_flash.pt"):  # beside it, without the folder
        shutil.copy(folder / "flan_ul2_encoder" / name, tmp_path)
    for source in (tmp_path / "kandinsky3_flash.pt", tmp_path):
        report = convert(source, "diffusers", tmp_path / "out")[""].components["unet"]
        assert set(report.sources) == {"kandinsky3_flash.pt", "projection_flash.pt"}
        found = safetensors_numpy.load_file(
            tmp_path / "out/unet/diffusion_pytorch_model.safetensors"
        )
        own = torch.load(folder / "flan_ul2_encoder/projection_flash.pt")
        assert np.array_equal(found[f"{PROJECTION}norm.bias"], own["1.bias"].numpy())
        shutil.rmtree(tmp_path / "out")


def test_what_cannot_be_told_apart_is_refused(folder: Path, tmp_path: Path) -> None:
    for name, said in (
        ("mine.pt", "nothing but its name can tell which projection"),
        ("kandinsky3_inpainting.pt", "takes 4 channels; kandinsky3_inpainting.pt takes 9"),
    ):
        path = Path(shutil.copy(folder / "kandinsky3.pt", tmp_path / name))
        with pytest.raises(CheckpointError, match=said):
            convert(path, "jax", tmp_path / "out")
        path.unlink()
    for name in ("kandinsky3.pt", "kandinsky3_flash.pt"):
        shutil.copy(folder / "kandinsky3.pt", tmp_path / name)
    with pytest.raises(CheckpointError, match="both hold a unet: give one of them by its name"):
        convert(tmp_path, "jax", tmp_path / "out")
    with pytest.raises(CheckpointError, match="what belongs to one"):
        convert(folder / "flan_ul2_encoder/projection.pt", "jax", tmp_path / "out")
    shutil.copy(folder / "movq.pt", tmp_path / "projection.pt")
    with pytest.raises(CheckpointError, match=r"projection.pt is no projection of the text"):
        convert(tmp_path / "kandinsky3.pt", "jax", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unet.stray": np.zeros(2, np.float32)}, r"1 tensors are none of Kandinsky 3 \(unet\.str"),
        # An adapter's, whose names begin like those of the network.
        (
            {"unet.down_samples.1.self_attention_block.attention.to_key_ip.weight": np.eye(2)},
            "1 tensors are none of Kandinsky 3",
        ),
        ({"unet.out_layer.2.bias": None}, r"1 missing \(conv_out.bias\)"),
        ({"null_embedding": np.zeros(3, np.float32)}, r"shape \[3\], not 40 floating-point"),
        ({"null_embedding": np.full(40, np.nan, np.float32)}, r"NaN .* \(null_embedding\)"),
    ],
)
def test_incomplete_and_foreign_files_are_refused(
    tmp_path: Path, unet: Any, change: dict[str, Any], said: str
) -> None:
    state = arrays_of(unet)
    made = {f"unet.{name}": array for name, array in original_unet(state).items()}
    made |= {"null_embedding": null_embedding()}
    made |= {f"projections.t5.{name}": array for name, array in projection(state).items()}
    changed = {name: array for name, array in (made | change).items() if array is not None}
    path = save(tmp_path / "kandinsky3.pt", **changed)
    with pytest.raises(CheckpointError, match=said):
        convert(path, "diffusers", tmp_path / "out")
    assert not (tmp_path / "out").exists()
