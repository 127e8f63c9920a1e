"""The all-zero picture's embedding is kept, and then text needs no image encoder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kandinsky_core.checkpoints.checkpoint import Component  # noqa: E402
from kandinsky_core.checkpoints.hub import EMBEDDED  # noqa: E402
from kandinsky_core.errors import CheckpointError  # noqa: E402
from kandinsky_core.seam.compile_only import compile_only  # noqa: E402
from kandinsky_jax.backend import JaxBackend  # noqa: E402
from kandinsky_jax.programs import cache  # noqa: E402
from kandinsky_jax.weights import kept_zero_picture, later_weights  # noqa: E402
from tests.support.damage import edit_tensors  # noqa: E402

PROJECTION = "visual_projection.weight"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of an image encoder; a cache of this test's own is beside them."""
    found = shutil.copytree(EMBEDDED["shapes"] / "prior/image_encoder", tmp_path / "image_encoder")
    monkeypatch.setattr(cache, "_folder", None)  # a backend sets it
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return Path(found)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The dtypes in which weights were read, in order."""
    found: list[str] = []
    load = later_weights.load_weights

    def noted(form: Any, *arguments: Any) -> Any:
        found.append(form.dtype)
        return load(form, *arguments)

    monkeypatch.setattr(later_weights, "load_weights", noted)
    return found


def encoder_of(folder: Path, dtype: str = "float32") -> Any:
    """Load the encoder as a new process would."""
    cache._store.cache_clear()
    component = Component("image_encoder", "transformers", "CLIPVisionModelWithProjection", folder)
    return JaxBackend().load(component, dtype)


def picture(encoder: Any, value: float = 0) -> Any:
    size = encoder.config.image_size
    return np.full((1, 3, size, size), value, np.float32)


def zeros(encoder: Any) -> Any:
    return encoder.encode(picture(encoder))


def entries_of(folder: Path, known: Any) -> list[Path]:
    """The entries of the cache that hold an embedding."""
    entries = (folder.parent / "cache/kandinsky").iterdir()
    return [path for path in entries if path.read_bytes().endswith(known.tobytes())]


def test_a_later_process_reads_no_weights_until_a_picture_comes(
    folder: Path, reads: list[str]
) -> None:
    first = encoder_of(folder)
    known, grey = zeros(first), first.encode(picture(first, 0.1))
    assert reads == ["float32"]
    assert not first._files._tensors._maps, "a network that is loaded keeps no file in memory"
    later = encoder_of(folder)
    np.testing.assert_array_equal(zeros(later), known)
    np.testing.assert_array_equal(zeros(later.to("cpu")), known)
    assert (reads, later.dtype, later.device) == (["float32"], "float32", "cpu")
    assert len(later.compilations) == 0
    np.testing.assert_array_equal(later.encode(picture(later, 0.1)), grey)
    np.testing.assert_array_equal(later.encode(picture(later, 0.1)), grey)
    assert reads == ["float32"] * 2


def test_what_needs_shapes_alone_reads_no_weights(folder: Path, reads: list[str]) -> None:
    first = encoder_of(folder)
    zeros(first)
    later = encoder_of(folder)
    with compile_only():
        later.encode(picture(later, 0.1))
    assert later.compilations[0].cached
    assert later.weight_shapes() == first.weight_shapes()
    assert later.get_memory_footprint() == first.get_memory_footprint()
    assert reads == ["float32"]


def test_offloaded_weights_come_to_the_host_when_they_come(folder: Path, reads: list[str]) -> None:
    known = zeros(encoder_of(folder))
    later = encoder_of(folder)
    later.offload()
    np.testing.assert_array_equal(zeros(later), known)
    later.onload()
    later.offload()
    assert len(reads) == 1
    later.encode(picture(later, 0.1))
    assert len(reads) == 2
    assert {type(leaf) for leaf in later._weights.values()} == {np.ndarray}


def test_each_dtype_has_an_embedding_of_its_own(folder: Path, reads: list[str]) -> None:
    known = zeros(encoder_of(folder))
    half = zeros(encoder_of(folder, "bfloat16"))
    assert not np.array_equal(half, known)
    np.testing.assert_array_equal(zeros(encoder_of(folder).to(dtype="bfloat16")), half)
    assert reads == ["float32", "bfloat16", "float32"]


@pytest.mark.parametrize("change", ["weights", "time", "rights"])
def test_files_that_changed_are_read(folder: Path, reads: list[str], change: str) -> None:
    encoder = encoder_of(folder)
    known, factor = zeros(encoder), 1
    file = folder / "model.safetensors"
    if change == "weights":
        before, factor = file.stat(), 2
        doubled = 2 * encoder.state_dict()[PROJECTION]
        edit_tensors(file, **{PROJECTION: np.ascontiguousarray(doubled)})
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(file)
    else:
        file.chmod(0o600)
    reads.clear()
    np.testing.assert_array_equal(zeros(encoder_of(folder)), factor * known)
    assert reads == ["float32"]


def test_files_that_are_written_before_they_are_read_are_refused(folder: Path) -> None:
    known = zeros(encoder_of(folder))
    later = encoder_of(folder)
    os.utime(folder / "model.safetensors")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="load the model again"):
            later.encode(picture(later, 0.1))
        with pytest.raises(CheckpointError, match="load the model again"):
            later.to(dtype="bfloat16")
        assert later.dtype == "float32"
        np.testing.assert_array_equal(zeros(later), known)


def test_files_that_are_deleted_before_they_are_read_are_there_still(folder: Path) -> None:
    first = encoder_of(folder)
    known, grey = zeros(first), first.encode(picture(first, 0.1))
    later, other = encoder_of(folder), encoder_of(folder)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(later.encode(picture(later, 0.1)), grey)
    np.testing.assert_array_equal(zeros(other), known)
    np.testing.assert_array_equal(other.encode(picture(other, 0.1)), grey)


def test_files_that_change_while_they_are_encoded_are_not_known_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(folder)
    run = type(encoder)._encode

    def written(self: Any, pixels: Any) -> Any:
        os.utime(folder / "model.safetensors")
        return run(self, pixels)

    monkeypatch.setattr(type(encoder), "_encode", written)
    assert entries_of(folder, zeros(encoder)) == []


def test_weights_that_were_replaced_are_encoded_and_not_kept(
    folder: Path, reads: list[str]
) -> None:
    known = zeros(encoder_of(folder))
    later = encoder_of(folder)
    later.update_weights({PROJECTION: 2 * later.state_dict()[PROJECTION]})
    np.testing.assert_array_equal(zeros(later), 2 * known)
    assert len(reads) == 2
    later.restore_weights()
    np.testing.assert_array_equal(zeros(later), known)
    unchanged = encoder_of(folder)
    unchanged.restore_weights()
    np.testing.assert_array_equal(zeros(unchanged), known)
    assert len(reads) == 2


def test_weights_that_another_thread_replaces_meanwhile_are_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(folder)
    doubled = {PROJECTION: 2 * encoder.state_dict()[PROJECTION]}
    run = type(encoder)._encode

    def replaced(self: Any, pixels: Any) -> Any:
        monkeypatch.setattr(type(self), "_encode", run)
        self.update_weights(doubled)
        return run(self, pixels)

    monkeypatch.setattr(type(encoder), "_encode", replaced)
    assert entries_of(folder, zeros(encoder)) == []


def test_code_that_is_replaced_after_the_load_finds_and_keeps_nothing(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = zeros(encoder_of(folder))
    later, half = encoder_of(folder), encoder_of(folder, "bfloat16")
    monkeypatch.setattr(kept_zero_picture, "sources", lambda: None)
    np.testing.assert_array_equal(zeros(later), known)
    assert reads == ["float32", "bfloat16", "float32"]
    assert entries_of(folder, zeros(half)) == []


def test_a_store_that_is_there_for_reading_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = encoder_of(folder)
    encoder.encode(picture(encoder, 0.1))  # its program is kept
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert entries_of(folder, zeros(encoder)) == []
    assert caplog.records == []


def test_a_damaged_entry_is_made_again(folder: Path, reads: list[str]) -> None:
    known = zeros(encoder_of(folder))
    (entry,) = entries_of(folder, known)
    content = entry.read_bytes()
    entry.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    np.testing.assert_array_equal(zeros(encoder_of(folder)), known)
    assert (len(reads), entry.read_bytes()) == (2, content)


def test_an_entry_that_goes_after_the_load_is_made_again(folder: Path) -> None:
    known = zeros(encoder_of(folder))
    later = encoder_of(folder)
    (entry,) = entries_of(folder, known)
    entry.unlink()
    np.testing.assert_array_equal(zeros(later), known)
    assert entries_of(folder, known) == [entry]


@pytest.mark.parametrize("code", [b"another version", None])
@pytest.mark.parametrize("kind", ["computing", "reading"])
def test_other_code_finds_no_embedding(
    folder: Path,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    code: bytes | None,
    kind: str,
) -> None:
    known = zeros(encoder_of(folder))
    name = {"computing": "sources", "reading": "_READING.value"}[kind]
    monkeypatch.setattr(f"{kept_zero_picture.__name__}.{name}", lambda: code)
    for _ in range(2):
        np.testing.assert_array_equal(zeros(encoder_of(folder)), known)
    assert len(reads) == (3 if code is None else 2)


def test_without_a_cache_nothing_is_known(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, "")
    for _ in range(2):
        zeros(encoder_of(folder))
    assert len(reads) == 2
