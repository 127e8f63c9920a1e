"""The front matter of a model card, which names a decoder's prior, as a stranger may write it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kandinsky_core.checkpoints.hub import connected_prior
from kandinsky_core.checkpoints.model_card import front_matter_list
from kandinsky_core.errors import CheckpointError

LAUGHS = "---\na: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (LAUGHS + "prior: *i\n---\n", "an alias"),
        ("---\nprior: &a [*a]\n---\n", "an alias"),
        ("---\nprior: " + "[" * 10_000, "nested more than 16 deep"),
        ("---\nprior: " + "{a: " * 2_000, "nested more than 16 deep"),
        ("---\nprior: " + "x" * 20_000, "larger than 16384 bytes"),
    ],
)
def test_hostile_front_matter_is_refused_at_once(tmp_path: Path, card: str, said: str) -> None:
    (tmp_path / "README.md").write_text(card)
    with pytest.raises(CheckpointError, match=said):
        connected_prior(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_a_card_that_is_no_file_is_not_read(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    os.mkfifo(card)
    with pytest.raises(CheckpointError, match="no regular file"):
        connected_prior(tmp_path)
    card.unlink()
    card.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="outside of"):
        connected_prior(tmp_path)


def test_a_long_card_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nprior: a/b\n---\n" + "x" * 100_000)
    assert front_matter_list(tmp_path, "prior") == ["a/b"]
    assert front_matter_list(tmp_path, "license") == []


@pytest.mark.parametrize(
    "named", ["/etc", "~/x", "..", "../..", "../../x", "../a/b", "a/b/c", "../.x", "x", ".", "a\\b"]
)
def test_a_prior_elsewhere_is_refused(tmp_path: Path, named: str) -> None:
    (tmp_path / "README.md").write_text(f"---\nprior: '{named}'\n---\n")
    with pytest.raises(CheckpointError, match=r"allowed are a hub id .*prior="):
        connected_prior(tmp_path)


@pytest.mark.parametrize("named", ["", "null", "~", "[]", "[1, 2]\nb: !!python/name:os.system"])
def test_what_names_nothing(tmp_path: Path, named: str) -> None:
    (tmp_path / "README.md").write_text(f"---\nprior: {named}\n---\n")
    if named.startswith("[1"):  # numbers are texts like any other
        with pytest.raises(CheckpointError, match="'1'"):
            connected_prior(tmp_path)
    else:
        assert connected_prior(tmp_path) is None


def test_a_prior_within_or_beside_the_decoder(tmp_path: Path) -> None:
    decoder = tmp_path / "decoder"
    decoder.mkdir()
    (tmp_path / "link").symlink_to("decoder")
    (decoder / "out").symlink_to("..")
    card = decoder / "README.md"
    card.write_text("---\nprior: ../prior/\n---\n")
    for folder in (decoder, tmp_path / "link"):
        assert connected_prior(folder) == str(tmp_path / "prior")
    card.write_text("---\nprior: ./prior\n---\n")
    assert connected_prior(decoder) == str(decoder / "prior")
    card.write_text("---\nprior: ./out\n---\n")
    with pytest.raises(CheckpointError, match="outside of"):
        connected_prior(decoder)
    card.write_text("---\nprior: shapes\n---\n")
    assert connected_prior(decoder) == "shapes"
