"""What a folder holds while something is saved in it, and afterwards."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from kandinsky_core.checkpoints.saved_folder import check_save_options, saved_folder
from kandinsky_core.errors import CheckpointError, InvalidInputError

WEIGHTS = "diffusion_pytorch_model"


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def save(folder: Path, files: dict[str, str], variant: str | None = None) -> None:
    with saved_folder(folder, 0, variant) as staged:
        for name, text in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_text(text)


def test_files_of_the_same_names_are_replaced_and_others_stay(tmp_path: Path) -> None:
    save(tmp_path / "a" / "b", {"unet/config.json": "old", "README.md": "mine"})
    save(tmp_path / "a" / "b", {"unet/config.json": "new", "model_index.json": "index"})
    assert content(tmp_path / "a" / "b") == {
        "unet/config.json": "new",
        "README.md": "mine",
        "model_index.json": "index",
    }


def test_older_weights_of_the_variant_go(tmp_path: Path) -> None:
    """One file would be found before shards, and shards of another number would remain."""
    old = [f"{WEIGHTS}.safetensors", f"{WEIGHTS}-00003-of-00003.safetensors"]
    old += [f"{WEIGHTS}.safetensors.index.json"]
    kept = [f"{WEIGHTS}.fp16.safetensors", f"{WEIGHTS}.bin", "null_embedding.safetensors"]
    kept += [f"{WEIGHTS}.safetensors.index.fp16.json"]
    save(tmp_path, {f"unet/{name}": "old" for name in (*old, *kept)} | {"movq/model.bin": "old"})
    save(tmp_path, {f"unet/{WEIGHTS}-00001-of-00002.safetensors": "new", "movq/config.json": ""})
    assert set(content(tmp_path / "unet")) == {f"{WEIGHTS}-00001-of-00002.safetensors", *kept}
    save(tmp_path, {f"unet/{WEIGHTS}.fp16.safetensors": "new"}, "fp16")
    assert f"{WEIGHTS}.safetensors.index.fp16.json" not in content(tmp_path / "unet")
    assert content(tmp_path / "movq") == {"model.bin": "old", "config.json": ""}


def test_a_failure_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path / "old", {"x": "old"})
    for name in ("old", "new"):
        with suppress(ZeroDivisionError), saved_folder(tmp_path / name, 0) as staged:
            (staged / "x").write_text("half")
            raise ZeroDivisionError
    assert content(tmp_path) == {"old/x": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_the_index_arrives_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[str] = []
    replace = Path.replace

    def note(self: Path, target: Path) -> Path:
        arrived.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", note)
    save(tmp_path, {"model_index.json": "", "unet/config.json": "", "zoo/config.json": ""})
    assert arrived == ["config.json", "config.json", "model_index.json"]


def test_a_link_out_of_the_folder_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "unet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="outside of"):
        save(tmp_path / "model", {"unet/config.json": "new"})
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_within_a_cache_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("of the cache")
    (tmp_path / "config.json").symlink_to("blob")
    save(tmp_path, {"config.json": "new"})
    assert content(tmp_path) == {"blob": "of the cache", "config.json": "new"}


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="is a file: give the folder"):
        save(tmp_path / "file", {})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "unet").write_text("")
    with pytest.raises(InvalidInputError, match=r"cannot be written: .*unet"):
        save(tmp_path / "model", {"unet/config.json": "new"})
    with pytest.raises(InvalidInputError, match="no room"), saved_folder(tmp_path / "big", 1 << 60):
        pass
    assert not (tmp_path / "big").exists()


def test_two_at_once_are_refused_and_a_killed_one_is_cleared(tmp_path: Path) -> None:
    with (
        saved_folder(tmp_path, 0),
        pytest.raises(InvalidInputError, match="another process is writing"),
        saved_folder(tmp_path, 0),
    ):
        pass
    staging = tmp_path / ".kandinsky-saving" / "unet"
    staging.mkdir(parents=True)
    (staging / "half").write_text("half")
    save(tmp_path, {"x": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    "arguments", [{"safe_serialization": False}, {"push_to_hub": True}, {"others": {"to": 1}}]
)
def test_what_is_not_done_is_refused(arguments: dict[str, object]) -> None:
    usual: dict[str, object] = {"safe_serialization": True, "push_to_hub": False, "others": {}}
    check_save_options(**usual)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        check_save_options(**{**usual, **arguments})  # type: ignore[arg-type]
