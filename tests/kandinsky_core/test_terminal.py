"""What a stranger wrote stays plain text on a terminal, and loses nothing as JSON or in a shell."""

from __future__ import annotations

import json
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kandinsky_core.terminal import LONGEST_MESSAGE, as_json, one_line, printable, shell_word

UNFIT = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"
# Every character, lone surrogates too; those that matter come often.
TEXT = st.text(
    st.characters() | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=30
)


def is_fit(text: str) -> bool:
    return all(unicodedata.category(each) not in UNFIT or each in JOINERS for each in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\ncommand: rm", r"a\ncommand: rm"),
        ("a\rb\tc\x00\x7f", r"a\rb\tc\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\u202egnp.exe\u2066\u200f", r"\u202egnp.exe\u2066\u200f"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("zero\u200bwidth\ufeff\u00ad\U000e0041", r"zero\u200bwidth\ufeff\xad\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
        ("joined\u200dwords\u3164", r"joined\u200dwords\u3164"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("a réd circle's “edge”", "日本語　テキスト", "Москва", "שלום", "C:\\folder", ""),
        *("\U0001f468\u200d\U0001f469\u200d\U0001f467 ❤\ufe0f", "\u06cc\u200c\u062e"),
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text
    assert one_line(text) == text


@settings(max_examples=300, deadline=None)
@given(TEXT)
@example("\u200d")
def test_every_text_is_fit_and_keeps_its_value(text: str) -> None:
    shown = printable(text)
    assert is_fit(shown)
    assert printable(shown) == shown
    for ascii_only in (False, True):
        written = as_json({text: [text, 1]}, ascii_only=ascii_only)
        assert json.loads(written) == {text: [text, 1]}
        assert all(map(is_fit, written.split("\n")))
        assert not ascii_only or written.isascii()
    assert is_fit(shell_word(text))


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT, max_size=4).map(lambda parts: "".join(part * 60 for part in parts)))
def test_every_message_is_one_bounded_line(text: str) -> None:
    line = one_line(text)
    assert is_fit(line)
    assert len(line) <= LONGEST_MESSAGE
    assert one_line(line) == line


def test_long_messages_keep_both_ends_and_tell_what_is_left_out() -> None:
    line = one_line("unexpected tensors: " + "layer.weight, " * 1000 + "convert the model again")
    assert line.startswith("unexpected tensors: layer.weight, ")
    assert line.endswith("convert the model again")
    assert "characters left out)" in line
    assert len(line) <= LONGEST_MESSAGE
    assert one_line("two\n  lines\r\n") == "two lines"


def test_a_shell_reads_words_back() -> None:
    words = ["plain", "it's", "a\nb\\c'\x1b[31m", "\u202eé日\u2028", "caf\udce9", "-\U000e0041"]
    line = " ".join(["printf", r"%s\\0", *map(shell_word, words)])
    assert is_fit(line)
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash")
    done = subprocess.run([shell, "-c", line], capture_output=True, check=True)
    assert done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] == words
