"""LoRAs by every way of naming them: files, folders, the hub, dicts of arrays."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kandinsky_core.checkpoints.hub import HubOptions, resolve_model
from kandinsky_core.checkpoints.lora import read_adapters, read_lora
from kandinsky_core.checkpoints.lora_sources import LoraSource, require_lora_name
from kandinsky_core.errors import CheckpointError, InvalidInputError, ModelNotFoundError
from tests.support.fake_hub import FakeHub
from tests.support.lora_arrays import DOWN, LAYERS, RANK, arrays, save
from tests.support.torch_archive import write_torch_file

REPO = "painter/style"
USUAL = "pytorch_lora_weights.safetensors"


def label(source: Any, **options: Any) -> str:
    """What a LoRA is called, after it was read."""
    opened = LoraSource.open(source, **options)
    assert set(read_adapters(opened)) == {f"{name}.weight" for name in LAYERS}
    return opened.label


def test_folders(tmp_path: Path) -> None:
    save(tmp_path / USUAL, arrays())
    assert label(tmp_path) == str(tmp_path)
    save(tmp_path / "b.safetensors", arrays())
    assert label(tmp_path) == str(tmp_path)  # the usual name goes first
    name = f"{tmp_path}/b.safetensors"
    assert label(str(tmp_path), weight_name="b.safetensors") == name == label(name)
    assert label(name, weight_name="other.safetensors") == name  # as in diffusers
    (tmp_path / USUAL).unlink()
    save(tmp_path / "optimizer.safetensors", arrays())
    assert label(tmp_path) == str(tmp_path)  # the only one that may be meant
    save(tmp_path / "c.safetensors", arrays())
    with pytest.raises(
        InvalidInputError, match=r"2 files .*b.safetensors, c.safetensors.*weight_n"
    ):
        label(tmp_path)
    save(tmp_path / "sub" / "deep" / USUAL, arrays())
    for subfolder in ("sub/deep", "sub/deep/"):
        assert label(tmp_path, subfolder=subfolder) == f"{tmp_path}/sub/deep"
    found = label(tmp_path, subfolder="sub/deep", weight_name=USUAL)
    assert found == f"{tmp_path}/sub/deep/{USUAL}"


def test_pickles_and_safetensors_are_chosen(tmp_path: Path) -> None:
    save(tmp_path / USUAL, arrays())
    write_torch_file(tmp_path / "pytorch_lora_weights.bin", arrays())
    for use, suffix in ((None, ".safetensors"), (True, ".safetensors"), (False, ".bin")):
        file = LoraSource.open(tmp_path, use_safetensors=use).file
        assert file is not None
        assert file.suffix == suffix
    (tmp_path / USUAL).unlink()
    with pytest.raises(InvalidInputError, match="holds no LoRA"):
        LoraSource.open(tmp_path, use_safetensors=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_name": 3}, "weight_name=3: give the name as text"),
        ({"weight_name": "a.txt"}, "a LoRA is a .safetensors or .bin"),
        ({"weight_name": "none.safetensors"}, "holds no LoRA: expected one of none.safetensors"),
        ({"subfolder": 3}, "subfolder=3"),
        ({"subfolder": "none"}, "none holds no LoRA"),
    ],
)
def test_wrong_names_in_a_folder(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        LoraSource.open(tmp_path, **options)


def test_nothing_leads_out_of_a_folder(tmp_path: Path) -> None:
    secret = save(tmp_path / "secret.safetensors", arrays())
    folder = tmp_path / "run"
    folder.mkdir()
    for options in ({"weight_name": "../secret.safetensors"}, {"subfolder": ".."}):
        with pytest.raises(CheckpointError, match="leads out of the folder"):
            LoraSource.open(folder, **options)  # type: ignore[arg-type]
    (folder / USUAL).symlink_to(secret)
    with pytest.raises(CheckpointError, match="is a link to"):
        LoraSource.open(folder)
    (folder / USUAL).unlink()
    save(folder / "adapter_model.safetensors", arrays("peft"))
    (tmp_path / "settings.json").write_text('{"r": 3, "lora_alpha": 3}')
    (folder / "adapter_config.json").symlink_to(tmp_path / "settings.json")
    with pytest.raises(CheckpointError, match="is a link to"):
        read_lora(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("~nobody-here/a.safetensors", "no home folder for ~nobody-here"),
        ("a" * 300, "File name too long"),
        ("a/" * 3000, "File name too long"),
        ("closed/a.safetensors", "Permission denied"),
    ],
)
def test_what_can_be_no_path(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("closed"):  # root may look into every folder

        def refuse(path: Path) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(Path, "exists", refuse)
    for read in (read_lora, LoraSource.open, require_lora_name):
        with pytest.raises(InvalidInputError, match=said):
            read(name)
    with pytest.raises(InvalidInputError, match=said):
        resolve_model(name, "decoder", HubOptions(), ())


@pytest.mark.parametrize("wrong", [None, "", 3, [], "a/b/c", "./a/b", "a", "a/b.safetensors"])
def test_what_names_no_lora(hub: FakeHub, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="LoRA"):
        LoraSource.open(wrong)
    assert not hub.requests


def test_a_repository_gives_the_files_of_the_usual_names_alone(
    hub: FakeHub, tmp_path: Path
) -> None:
    folder = tmp_path / "repo"
    save(folder / USUAL, arrays())
    save(folder / "model.safetensors", arrays())
    hub.add(REPO, folder)
    assert label(REPO) == REPO
    assert hub.downloads(REPO) == {USUAL}
    hub.requests.clear()
    assert label(REPO, hub=HubOptions(local_files_only=True)) == REPO
    assert not hub.requests
    for options in ({"weight_name": "model.safetensors"}, {}):
        name = REPO if options else f"{REPO}/model.safetensors"
        assert label(name, **options) == f"{REPO}/model.safetensors"
    with pytest.raises(InvalidInputError, match=r"holds no none\.safetensors"):
        label(REPO, weight_name="none.safetensors")


def test_the_only_file_of_a_repository_is_found(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    save(folder / "pixel.safetensors", arrays())
    save(folder / "old" / "[a]*.safetensors", arrays())
    hub.add(REPO, folder)
    hub.add(REPO, folder / "old", revision="v1")
    assert label(REPO) == REPO
    assert hub.downloads(REPO) == {"pixel.safetensors"}
    found = label(REPO, subfolder="old", weight_name="[a]*.safetensors")
    assert found == f"{REPO}/old/[a]*.safetensors"
    assert label(REPO, hub=HubOptions(revision="v1")) == REPO
    save(folder / "second.safetensors", arrays())
    with pytest.raises(InvalidInputError, match=r"painter/style holds 2 files"):
        label(REPO, hub=HubOptions(force_download=True))


def test_the_hub_does_not_deliver(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no such repository"):
        label(REPO)
    save(tmp_path / "repo" / "README.safetensors.txt", arrays())
    hub.add(REPO, tmp_path / "repo")
    with pytest.raises(InvalidInputError, match=r"holds no .*pytorch_lora_weights.bin"):
        label(REPO)
    with pytest.raises(ModelNotFoundError, match="not in the cache"):
        label("painter/other", hub=HubOptions(local_files_only=True))
    with pytest.raises(InvalidInputError, match=r"versions: no such option"):
        HubOptions.given({"versions": "v1"})


def test_a_path_is_not_taken_for_a_name_of_the_hub(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error in a path must not tell the path to a server."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/last/lora.safetensors", "runs/lora.safetensors", "./runs/last"):
        with pytest.raises(InvalidInputError, match="there is no such file or folder"):
            LoraSource.open(name)
        with pytest.raises(InvalidInputError, match="there is no such file or folder"):
            require_lora_name(name)
    require_lora_name("painter/style")
    require_lora_name("painter/style/a.safetensors")
    assert not hub.requests


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_dicts_of_arrays(dtype: Any) -> None:
    content = {name: array.astype(dtype) for name, array in arrays("peft").items()}
    found = read_adapters(LoraSource.open(content))
    for name in LAYERS:
        want = DOWN[name].astype(dtype).astype(np.float32)
        assert np.array_equal(found[f"{name}.weight"].down, want)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ({}, CheckpointError, "there is no tensor"),
        ({3: np.ones((2, 2))}, InvalidInputError, "names of tensors, not 3"),
        ({"a.lora_A.weight": "x"}, InvalidInputError, "a.lora_A.weight is no array"),
        ({"a.lora_A.weight": [object()]}, InvalidInputError, "a.lora_A.weight is no array"),
        ({"a.lora_A.weight": np.ones((2, 2), int)}, CheckpointError, "layer a has no up"),
    ],
)
def test_wrong_dicts(content: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read_adapters(LoraSource.open(content))


def test_alphas_and_settings_that_the_caller_gives() -> None:
    name = "mid_block.attentions.0.to_q"
    source = LoraSource.open(arrays("layer", "unet."))
    found = read_adapters(source.with_alphas({f"unet.{name}.alpha": 6}))
    assert found[f"{name}.weight"].scale == 6 / RANK
    said = {"r": RANK, "lora_alpha": 12}
    assert {found.scale for found in read_adapters(source, said).values()} == {4}
    with pytest.raises(CheckpointError, match=r"metadata=.*no lora_alpha"):
        read_adapters(source, {"r": RANK})
    with pytest.raises(InvalidInputError, match="network_alphas=3"):
        source.with_alphas(3)  # type: ignore[arg-type]


def test_a_prefix_chooses_tensors() -> None:
    content = arrays("peft", "unet.") | {"text_encoder.x.lora_A.weight": np.ones((2, 2))}
    source = LoraSource.open(content)
    assert len(read_adapters(source.under("unet"))) == len(LAYERS)
    with pytest.raises(CheckpointError, match="changes the text encoder too"):
        read_adapters(source.under(None))
    with pytest.raises(InvalidInputError, match=r"starts with 'transformer\.'.*prefix=None"):
        source.under("transformer")
