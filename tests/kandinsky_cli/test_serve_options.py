"""The options of `kandinsky serve` that name adapters, ControlNets and devices."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from kandinsky_cli.commands import serve
from kandinsky_core.errors import InvalidInputError

MODELS = ["--model", "a=shapes", "--model", "b=shapes"]


def settings(*words: str) -> Any:
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    return serve._settings(parser.parse_args(["serve", *words]))


def test_adapters_belong_to_the_first_model_unless_another_is_named() -> None:
    words = ["--lora", "style=x.bin", "--lora", "style=me@home/y.bin@b", "--lora", "ink=z@work"]
    assert settings(*MODELS, *words).loras == {
        "a": {"style": "x.bin", "ink": "z@work"},
        "b": {"style": "me@home/y.bin"},
    }
    branches = ["--controlnet", "b=one", "--controlnet", "c=two"]
    assert settings(*MODELS, *branches).branches == {"b": "one", "a": "c=two"}


def test_devices_and_patience() -> None:
    found = settings("--devices", "cuda:0,cuda:1", "--header-timeout", "3")
    assert (found.devices, found.header_timeout) == (("cuda:0", "cuda:1"), 3)
    assert settings().devices == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lora", "x.bin"], "NAME=PATH"),
        (["--lora", "=x.bin"], "NAME=PATH"),
        (["--lora", "s="], "NAME=PATH"),
        (["--lora", "s=x", "--lora", "s=y"], "an adapter s already"),
        (["--controlnet", "x", "--controlnet", "y"], "one BRANCH"),
        (["--devices", "cuda:0,"], "each device once"),
        (["--devices", "cuda:0", "--mesh", "data=2"], "give one of the two"),
    ],
)
def test_refused(words: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        settings(*words)
