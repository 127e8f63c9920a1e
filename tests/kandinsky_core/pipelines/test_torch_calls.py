"""Calls that tune PyTorch change nothing, and say so."""

from __future__ import annotations

import pytest

from tests.support.fakes import combined_pipeline


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("enable_xformers_memory_efficient_attention", ()),
        ("disable_xformers_memory_efficient_attention", ()),
        ("enable_attention_slicing", ()),
        ("enable_attention_slicing", ("max",)),
        ("disable_attention_slicing", ()),
    ],
)
def test_calls_that_tune_pytorch_are_logged(
    name: str, arguments: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="kandinsky_core")
    getattr(combined_pipeline(), name)(*arguments)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage().startswith(f"{name} changes nothing: ")
