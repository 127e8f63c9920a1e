"""Names of diffusers that change nothing here, and names that are refused."""

from __future__ import annotations

import logging
import pydoc
from typing import Any

import pytest

from kandinsky_core import DDIMScheduler, KandinskyError
from kandinsky_core.foreign_names import NoOp, accepted_names, refused_names
from kandinsky_core.pipelines.shared.torch_calls import TorchCalls
from kandinsky_core.seam.network_names import NetworkNames
from tests.support.fakes import combined_pipeline, decoder_pipeline


def test_an_accepted_call_takes_any_arguments_and_logs_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipe = decoder_pipeline()
    with caplog.at_level(logging.INFO, "kandinsky_core"):
        assert pipe.enable_attention_slicing("max", further=1) is None
    reason = accepted_names(type(pipe))["enable_attention_slicing"]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"enable_attention_slicing changes nothing: {reason}"]
    assert "enable_attention_slicing(self, *args" in pydoc.plain(pydoc.render_doc(type(pipe)))


@pytest.mark.parametrize("make", [decoder_pipeline, combined_pipeline])
def test_a_refused_name_is_absent_and_says_why(make: Any) -> None:
    pipe = make()
    assert not hasattr(pipe, "push_to_hub")
    assert not hasattr(type(pipe), "from_single_file")
    with pytest.raises(KandinskyError, match=r"push_to_hub.*hub; save_pretrained"):
        _ = pipe.push_to_hub
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pipe.nonsense


def test_a_class_that_has_the_name_is_out_of_the_tables() -> None:
    class Written(TorchCalls):
        def push_to_hub(self) -> None: ...

    assert "push_to_hub" in refused_names(TorchCalls)
    assert "push_to_hub" not in refused_names(Written)
    assert hasattr(Written(), "push_to_hub")


@pytest.mark.parametrize("kind", [TorchCalls, NetworkNames, DDIMScheduler])
def test_no_name_is_in_both_tables(kind: type) -> None:
    accepted, refused = accepted_names(kind), refused_names(kind)
    assert refused
    assert not set(accepted) & set(refused)
    assert all(reason and "\n" not in reason for reason in (accepted | refused).values())


def test_calls_that_are_chained_return_the_object() -> None:
    class Chained:
        share = NoOp("nothing is shared", returns_self=True)

    made = Chained()
    assert made.share() is made
