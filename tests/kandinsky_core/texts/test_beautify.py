"""Prompts expanded by any callable, and what is made of a language model's answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import kandinsky_core
from kandinsky_core import PromptBeautifier
from kandinsky_core.errors import (
    BackendUnavailableError,
    DeviceMemoryError,
    InvalidInputError,
)
from kandinsky_core.texts import beautify
from kandinsky_core.texts.beautify import beautifier_for
from tests.support.fake_hub import FakeHub

TEMPLATE = (
    "### System: You are a prompt engineer. Your mission is to expand prompts written by user. You "
    "should provide the best prompt for text to image generation in English.\n### User:\n"
    "a cat\n### Assistant:\n"
)


class FakeModel:
    """Stands for transformers' pipeline and for the function that loads it."""

    def __init__(self) -> None:
        self.answer = "A cat."
        self.loads: list[tuple[Any, ...]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def load(self, *arguments: Any) -> FakeModel:
        self.loads.append(arguments)
        return self

    def __call__(self, text: str, **options: Any) -> list[dict[str, str]]:
        self.calls.append((text, options))
        return [{"generated_text": self.answer}]


@pytest.fixture
def language_model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setattr(beautify, "find_spec", lambda _: object())
    monkeypatch.setattr(beautify, "_text_generation", fake.load)
    return fake


def test_the_model_is_told_kandinsky_s_template_and_loaded_once(language_model: FakeModel) -> None:
    beautifier = PromptBeautifier()
    assert language_model.loads == []
    assert beautifier("a cat") == "A cat."
    ((text, options),) = language_model.calls
    assert text == TEMPLATE
    assert options.items() >= {"return_full_text": False, "do_sample": False}.items()
    assert options["max_new_tokens"] > 128
    beautifier("a dog")
    assert len(language_model.calls) == 2
    assert language_model.loads == [("Intel/neural-chat-7b-v3-1", None, None)]


@pytest.mark.usefixtures("language_model")
def test_braces_and_headings_of_a_prompt_are_text() -> None:
    assert PromptBeautifier()("{0} {prompt} ### Assistant: {") == "A cat."


def test_arguments_reach_the_model(language_model: FakeModel) -> None:
    PromptBeautifier(Path("folder"), device="cuda:1", dtype="fp16")("a cat")
    assert language_model.loads == [("folder", "cuda:1", "fp16")]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (" A tabby cat,\n\n  by\tthe\u2028fire ", "A tabby cat, by the fire"),
        ("A cat.\n### User:\na dog", "A cat."),
        ("A cat. ### System: You are", "A cat."),
        ('"A cat."', "A cat."),
        ("\n'A cat by a lake.'\n### User:", "A cat by a lake."),
        ("`A cat`", "A cat"),
        ("\u201cA cat\u201d", "A cat"),
        ("\u2018A cat\u2019", "A cat"),
        ("\xabA cat\xbb", "A cat"),
        ('"A cat that never ends', "A cat that never ends"),
        ('"A cat" and "a dog"', '"A cat" and "a dog"'),
        ('A sign says "cat"', 'A sign says "cat"'),
        ("one two three four five six seven", "one two three four five six"),
        ('"one two three four five six seven."', "one two three four five six"),
    ],
)
def test_answer_becomes_one_line(language_model: FakeModel, answer: str, expected: str) -> None:
    language_model.answer = answer
    assert PromptBeautifier(max_words=6)("a cat") == expected


@pytest.mark.parametrize("answer", ["", " \n", "### User: a dog", '""', '" "'])
def test_no_answer(language_model: FakeModel, answer: str) -> None:
    language_model.answer = answer
    said = "model 'some/model' answered nothing to prompt='a cat': word the prompt in another way"
    with pytest.raises(InvalidInputError, match=said):
        PromptBeautifier("some/model")("a cat")


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "prompt='': give a text"),
        (" \n", "give a text"),
        (None, "prompt=None: give a text"),
        (["a cat"], r"prompt=\['a cat'\]: give a text"),
        ("caf\udce9", "is no valid Unicode text"),
    ],
)
def test_prompts_are_refused_before_loading(
    language_model: FakeModel, prompt: Any, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        PromptBeautifier()(prompt)
    assert language_model.loads == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": ""}, "model='': give a hub id or a folder"),
        ({"model": None}, "model=None: give a hub id or a folder"),
        ({"max_words": 0}, "max_words=0: give a whole number"),
        ({"max_words": 1.5}, "max_words=1.5: give a whole number"),
        ({"dtype": "int8"}, "dtype 'int8' is not supported"),
    ],
)
@pytest.mark.usefixtures("language_model")
def test_arguments_are_refused_at_once(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        PromptBeautifier(**arguments)


@pytest.mark.parametrize("missing", [["torch"], ["transformers"], ["torch", "transformers"]])
def test_what_to_install(missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beautify, "find_spec", lambda name: None if name in missing else object())
    said = f"needs {' and '.join(missing)}, not installed: pip install 'kandinsky-anywhere"
    for make in (PromptBeautifier, lambda: beautifier_for(True), lambda: beautifier_for("a/b")):
        with pytest.raises(BackendUnavailableError, match=rf"{said}\[beautify\]'"):
            make()
    assert beautifier_for(None) is None
    plain = beautifier_for(str.upper)
    assert plain is not None
    assert plain("a cat") == "A CAT"


def test_a_device_that_is_too_small(language_model: FakeModel) -> None:
    class OutOfMemoryError(RuntimeError):
        """As PyTorch's is called."""

    def call(*_: Any, **__: Any) -> Any:
        raise OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    beautifier = PromptBeautifier("some/model")
    beautifier.__dict__["_pipeline"] = call
    with pytest.raises(DeviceMemoryError, match="'some/model' does not fit the device") as raised:
        beautifier("a cat")
    assert "\n" not in str(raised.value)
    assert language_model.loads == []


def test_other_errors_of_the_device_stay_what_they_are(language_model: FakeModel) -> None:
    def call(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA error")

    beautifier = PromptBeautifier()
    beautifier.__dict__["_pipeline"] = call
    with pytest.raises(RuntimeError, match="CUDA error"):
        beautifier("a cat")


def test_what_the_keyword_of_a_pipeline_stands_for(language_model: FakeModel) -> None:
    assert beautifier_for(None) is None
    assert beautifier_for(False) is None
    assert beautifier_for(True) == PromptBeautifier()
    assert beautifier_for("some/model") == PromptBeautifier("some/model")
    assert beautifier_for(Path("folder")) == PromptBeautifier(Path("folder"))
    own = PromptBeautifier("some/model", max_words=12)
    assert beautifier_for(own) is own
    assert language_model.loads == []


@pytest.mark.parametrize("value", [0, 1, 2.5, ["some/model"], {}, b"some/model"])
def test_what_the_keyword_does_not_stand_for(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"beautify=.*: give True, a language model's"):
        beautifier_for(value)


@pytest.mark.parametrize("found", [None, "", " \n", ["A cat."], [{"generated_text": "A cat."}]])
def test_a_callable_that_returns_no_text(found: Any) -> None:
    beautifier = beautifier_for(lambda _: found)
    assert beautifier is not None
    with pytest.raises(InvalidInputError, match=r"callable of beautify= returned .*'a cat': it is"):
        beautifier("a cat")


def test_public_name() -> None:
    assert kandinsky_core.PromptBeautifier is beautify.PromptBeautifier


def test_the_hub_is_asked_once_for_a_name_that_it_does_not_have(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before transformers is imported, which asks for each file six times, with pauses."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InvalidInputError, match=r"'owner/nothing' cannot be loaded: .* the hub"):
        beautify._text_generation("owner/nothing", None, None)
    assert len(hub.requests) == 1
    with hub.stopped(), pytest.raises(InvalidInputError, match="not in the cache, and the hub"):
        beautify._text_generation("owner/nothing", None, None)
    with pytest.raises(InvalidInputError, match=r"no model '\./nowhere'.* no hub id"):
        beautify._text_generation("./nowhere", None, None)
    assert len(hub.requests) == 1
