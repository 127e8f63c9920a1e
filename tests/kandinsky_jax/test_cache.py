"""Where compiled programs are kept: folders, addresses of stores, and what cannot be one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

jax = pytest.importorskip("jax")

from kandinsky_core.errors import InvalidInputError  # noqa: E402
from kandinsky_jax.programs import cache  # noqa: E402
from kandinsky_jax.programs.cache import (  # noqa: E402
    CACHE_VARIABLE,
    LIMIT_VARIABLE,
    enable_compilation_cache,
    program_store,
)

NAMES = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_persistent_cache_enable_xla_caches",
)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All settings are back after each test, and nothing is arranged before it."""
    monkeypatch.setattr(cache, "_folder", None)
    before = {name: jax.config.values[name] for name in NAMES}
    jax.config.update(NAMES[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def set_up() -> tuple[Any, float]:
    return jax.config.values[NAMES[0]], jax.config.values[NAMES[1]]


def stored() -> Path | None:
    store = program_store()
    return None if store is None else store.folder


@pytest.mark.parametrize("address", ["gs://bucket/x", "s3://bucket/a//b"])
def test_the_address_of_a_store_is_passed_on_unchanged(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, address)
    assert enable_compilation_cache() == address
    assert set_up() == (address, 0.0)
    assert stored() is None, "JAX's own cache serves there"
    assert list(tmp_path.iterdir()) == []
    assert enable_compilation_cache() == address, "also once JAX has it"


def test_the_address_of_a_store_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "find_spec", lambda name: None)
    monkeypatch.setenv(CACHE_VARIABLE, "gs://bucket/x")
    with pytest.raises(InvalidInputError, match=r"pip install 'etils\[epath\]'"):
        enable_compilation_cache()


def test_the_user_s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "~/c")
    assert enable_compilation_cache() == tmp_path / "c"
    assert (tmp_path / "c").is_dir()
    assert stored() == tmp_path / "c" / "kandinsky"
    assert set_up()[0] is None, "JAX keeps no second copy"


def test_a_cache_that_was_arranged_through_jax(tmp_path: Path) -> None:
    """It is as the user set it, and ours is in it, unless JAX's switch is off."""
    jax.config.update(NAMES[0], str(tmp_path))
    before = set_up()
    assert enable_compilation_cache() == tmp_path
    assert set_up() == before
    assert stored() == tmp_path / "kandinsky"
    try:
        jax.config.update("jax_enable_compilation_cache", False)
        assert stored() is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)


def test_the_processes_of_a_mesh_have_the_cache_of_jax(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They compile together: if one found a program and another did not, one would wait."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    assert enable_compilation_cache() == tmp_path
    assert set_up() == (str(tmp_path), 0.0)


@pytest.mark.parametrize("text", ["-1", "0", "4 GiB", "nan", "inf"])
def test_a_limit_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(InvalidInputError, match=r"_GIB='.*': give the GiB .* leave it out for 4"):
        enable_compilation_cache()


def test_a_user_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A number of a user without a name has none, as in many containers."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with caplog.at_level(logging.WARNING, logger="kandinsky_jax"):
        assert enable_compilation_cache() is None
    assert "name a folder in KANDINSKY_COMPILATION_CACHE" in caplog.text
    assert set_up()[0] is None
    monkeypatch.setattr(Path, "expanduser", lambda self: homeless())
    monkeypatch.setenv(CACHE_VARIABLE, "~/c")
    with pytest.raises(InvalidInputError, match=r"'~/c': .*name another one"):
        enable_compilation_cache()


def test_a_default_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, logger="kandinsky_jax"):
        assert enable_compilation_cache() is None
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("name", ["file/c", "file", "nul\0"])
def test_a_named_folder_that_cannot_be_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "environ", {CACHE_VARIABLE: str(tmp_path / name)})
    with pytest.raises(InvalidInputError, match="neither made nor read"):
        enable_compilation_cache()


@pytest.mark.parametrize(("mode", "found"), [(os.R_OK | os.X_OK, None), (0, InvalidInputError)])
def test_a_named_folder_that_cannot_be_written_or_read(
    mode: int, found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that are there serve."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, wanted: wanted & ~mode == 0)
    if found is not None:
        with pytest.raises(found, match="is closed to this user"):
            enable_compilation_cache()
        return
    assert enable_compilation_cache() is None
    assert stored() == tmp_path / "kandinsky"


def test_an_empty_value_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert enable_compilation_cache() is None
    assert set_up()[0] is None
    assert stored() is None
