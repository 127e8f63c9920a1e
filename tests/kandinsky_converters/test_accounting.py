"""Accounting: one message names all that does not fit, before anything is read."""

from __future__ import annotations

import numpy as np
import pytest

from kandinsky_converters.layouts.accounting import account, audit, modern_name
from kandinsky_core.configs import NETWORKS
from kandinsky_core.errors import CheckpointError
from tests.support.dict_tensors import DictTensors

EXPECTED = {"a.weight": (2, 3), "b.weight": (4,), "c.weight": (5,)}


def tensors(**changes: np.ndarray | None) -> DictTensors:
    arrays: dict[str, np.ndarray | None] = {
        name: np.zeros(shape, np.float32) for name, shape in EXPECTED.items()
    }
    arrays.update({name.replace("__", "."): array for name, array in changes.items()})
    return DictTensors({name: array for name, array in arrays.items() if array is not None})


def test_a_checkpoint_that_fits_is_taken_in_its_own_order() -> None:
    given = DictTensors(dict(reversed(tensors().arrays.items())))
    assert list(account("Net", EXPECTED, given)) == ["c.weight", "b.weight", "a.weight"]


def test_all_faults_are_in_one_message_and_nothing_is_read() -> None:
    given = tensors(
        a__weight=None,
        b__weight=np.zeros((7,), np.float32),
        c__weight=np.zeros((5,), np.int64),
        d__weight=np.zeros((1,), np.float32),
    )
    with pytest.raises(CheckpointError) as caught:
        account("Net", EXPECTED, given)
    message = str(caught.value)
    assert "Net" in message
    assert "1 missing (a.weight)" in message
    assert "1 unexpected (d.weight)" in message
    assert "1 of another shape (b.weight [7] for [4])" in message
    assert "1 not floating point (c.weight I64)" in message
    assert "\n" not in message
    assert given.reads == []


def test_long_lists_are_cut_and_counted() -> None:
    extra = {f"extra{index}": np.zeros(1, np.float32) for index in range(20)}
    message = r"20 unexpected \(extra0, .*extra7, \.\.\.\)"
    with pytest.raises(CheckpointError, match=message) as caught:
        account("Net", EXPECTED, tensors(**extra))
    assert "extra8" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "name"),
    [(network, name) for network, entry in NETWORKS.items() for name in entry.unused],
)
def test_unused_tensors_are_left_out_of_their_network_only(network: str, name: str) -> None:
    given = tensors()
    given.arrays[name] = np.zeros((1, 77), np.int64)
    assert name not in account(network, EXPECTED, given)
    with pytest.raises(CheckpointError, match="unexpected"):
        account("PriorTransformer", EXPECTED, given)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encoder.down_blocks.3.attentions.1.query.weight", "to_q.weight"),
        ("encoder.mid_block.attentions.0.key.bias", "to_k.bias"),
        ("decoder.up_blocks.0.attentions.2.value.weight", "to_v.weight"),
        ("decoder.mid_block.attentions.0.proj_attn.bias", "to_out.0.bias"),
    ],
)
def test_legacy_attention_names(old: str, new: str) -> None:
    assert modern_name(old) == ".".join([*old.split(".")[:-2], new])


@pytest.mark.parametrize(
    "name",
    [
        "decoder.mid_block.attentions.0.to_q.weight",
        "transformer.encoder.layer.0.attention.self.query.weight",
        "text_model.encoder.layers.0.self_attn.k_proj.weight",
    ],
)
def test_other_names_stay(name: str) -> None:
    assert modern_name(name) == name


def test_a_tensor_under_both_names_is_refused() -> None:
    expected = {"mid_block.attentions.0.to_q.weight": (2,)}
    twice = DictTensors(
        {
            "mid_block.attentions.0.to_q.weight": np.zeros(2, np.float32),
            "mid_block.attentions.0.query.weight": np.ones(2, np.float32),
        }
    )
    with pytest.raises(CheckpointError, match="a second mid_block"):
        account("VQModel", expected, twice)


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (("shared", "encoder.embed_tokens"), "shared"),
        (("encoder.embed_tokens", "shared"), "shared"),
        (("encoder.embed_tokens",), "encoder.embed_tokens"),
    ],
)
def test_a_tensor_stored_under_two_names_is_taken_once(names: tuple[str, ...], used: str) -> None:
    expected = {"shared.weight": (2, 3)}
    given = DictTensors({f"{name}.weight": np.zeros((2, 3), np.float32) for name in names})
    result = audit("T5EncoderModel", expected, given)
    assert result.used == {f"{used}.weight": "shared.weight"}
    assert set(result.ignored) == {f"{name}.weight" for name in names} - {f"{used}.weight"}
    assert not result.fault
    assert "unexpected" in audit("Net", expected, given).fault
