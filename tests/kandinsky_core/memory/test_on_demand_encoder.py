"""A text encoder that is in memory only while it encodes."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.on_demand_encoder import OnDemandTextEncoder
from tests.support.fakes import FakeNetwork

LENGTH, WIDTH = 4, 3


class Encoder(FakeNetwork):
    """Encodes a row as its first id; knows which rows it was given."""

    def __init__(self) -> None:
        super().__init__(d_model=WIDTH)
        self.seen: list[int] = []

    def encode(self, input_ids: Any, attention_mask: Any) -> Any:
        self.seen += input_ids[:, 0].tolist()
        return np.broadcast_to(
            input_ids[:, :1, None].astype(np.float32), (len(input_ids), LENGTH, WIDTH)
        )


class Loader:
    """Counts what it loads, and holds none of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.seen: list[list[int]] = []
        self.alive: list[weakref.ref[Encoder]] = []

    def __call__(self, dtype: str, device: str) -> Any:
        assert all(reference() is None for reference in self.alive), "two at once"
        encoder = Encoder()
        self.calls.append((dtype, device))
        self.seen.append(encoder.seen)
        self.alive.append(weakref.ref(encoder))
        return encoder


def tokens(*first: int) -> tuple[Any, Any]:
    ids = np.zeros((len(first), LENGTH), np.int32)
    ids[:, 0] = first
    return ids, ids > 0


def test_it_is_loaded_for_new_texts_and_dropped() -> None:
    load = Loader()
    encoder = OnDemandTextEncoder(Encoder(), load)
    assert load.calls == []
    states = encoder.encode(*tokens(5, 6, 5))
    assert states[:, 0, 0].tolist() == [5, 6, 5]
    gc.collect()
    assert load.seen == [[5, 6]], "each text once, in one call"
    assert load.alive[0]() is None, "dropped"
    assert encoder.encode(*tokens(6))[0, 0, 0] == 6
    assert len(load.calls) == 1, "remembered"
    assert encoder.encode(*tokens(6, 7))[:, 0, 0].tolist() == [6, 7]
    assert load.seen == [[5, 6], [7]]


def test_the_mask_counts_too() -> None:
    load = Loader()
    encoder = OnDemandTextEncoder(Encoder(), load)
    ids, mask = tokens(5)
    encoder.encode(ids, mask)
    encoder.encode(ids, ~mask)
    assert load.seen == [[5], [5]]


def test_few_texts_are_remembered() -> None:
    load = Loader()
    encoder = OnDemandTextEncoder(Encoder(), load)
    many = list(range(1, 21))
    assert encoder.encode(*tokens(*many))[:, 0, 0].tolist() == many
    encoder.encode(*tokens(20, 5))
    encoder.encode(*tokens(1))
    assert load.seen == [many, [1]]


def test_it_is_dropped_when_it_fails_too() -> None:
    class Broken(Encoder):
        def encode(self, input_ids: Any, attention_mask: Any) -> Any:
            raise MemoryError

    encoder = OnDemandTextEncoder(Encoder(), lambda dtype, device: Broken())
    with pytest.raises(MemoryError):
        encoder.encode(*tokens(1))


def test_where_and_in_what_it_computes_may_be_changed() -> None:
    load = Loader()
    encoder = OnDemandTextEncoder(Encoder(), load)
    encoder.encode(*tokens(5))
    encoder.to(device="gpu:0", dtype="bfloat16")
    assert (encoder.device, encoder.dtype) == ("gpu:0", "bfloat16")
    encoder.encode(*tokens(5))
    assert load.calls == [("float32", "cpu"), ("bfloat16", "gpu:0")]


def test_block_by_block_nothing_is_loaded() -> None:
    streamed = Encoder()
    encoder = OnDemandTextEncoder(streamed, None)
    encoder.encode(*tokens(5, 6))
    encoder.encode(*tokens(6, 7))
    assert streamed.seen == [5, 6, 7]


def test_it_has_no_weights_to_replace() -> None:
    encoder = OnDemandTextEncoder(Encoder(), Loader())
    with pytest.raises(InvalidInputError, match="takes no other weights"):
        encoder.update_weights({"shared.weight": np.zeros(1)})
    encoder.offload()
    encoder.restore_weights()
