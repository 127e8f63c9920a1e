"""`--lora`: paths and hub ids with weights, all of which count together."""

from __future__ import annotations

from pathlib import Path

import pytest

from kandinsky_cli.lora_option import load_loras, lora_words, require_loras
from kandinsky_core.errors import InvalidInputError
from tests.support.fake_hub import FakeHub
from tests.support.lora_arrays import Pipe, arrays, network, save


def test_words_of_the_command_line(tmp_path: Path) -> None:
    odd = tmp_path / "a:3"
    odd.touch()
    assert lora_words(None) == []
    assert lora_words("a.safetensors") == [("a.safetensors", 1)]
    assert lora_words("a:0.5,b , c:-2") == [("a", 0.5), ("b", 1), ("c", -2)]
    assert lora_words("painter/style:0.5") == [("painter/style", 0.5)]
    assert lora_words(str(odd)) == [(str(odd), 1)]
    for text in ("a:b", "", ":1", "a,,b"):
        with pytest.raises(InvalidInputError, match="--lora"):
            lora_words(text)


def test_what_is_not_there_is_refused_without_asking_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", arrays())
    require_loras([(str(path), 1), (str(tmp_path), 1), ("painter/style", 1)])
    for wrong, said in (
        (f"{tmp_path}/b.safetensors", "there is no such file"),
        ("~nobody-here/a.safetensors", "no home folder"),
        ("a", "there is no such file"),
    ):
        with pytest.raises(InvalidInputError, match=f"--lora: .*{said}"):
            require_loras([(wrong, 1)])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pytorch_lora_weights.bin").symlink_to(path)
    with pytest.raises(InvalidInputError, match=r"--lora: .* is a link to"):
        require_loras([(str(tmp_path / "run"), 1)])
    assert not hub.requests


def test_all_of_them_count(hub: FakeHub, tmp_path: Path) -> None:
    path = save(tmp_path / "repo" / "a.safetensors", arrays())
    hub.add("painter/style", tmp_path / "repo")
    pipe = Pipe(unet=network())
    load_loras(pipe, [])
    assert pipe.lora_facts == {}
    words = [(str(path), 0.5), ("painter/style", 2.0), (str(path), 1.0)]
    load_loras(pipe, words)
    assert pipe.lora_facts == {"lora": f"{path}:0.5,painter/style:2,{path}:1"}
    assert lora_words(pipe.lora_facts["lora"]) == words
