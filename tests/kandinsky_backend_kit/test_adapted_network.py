"""Adapters of a network: chosen, weighed, fused and unloaded, always from the first weights."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core.errors import InvalidInputError
from tests.support.lora_arrays import LAYERS, RANK, Arrays, Network, arrays, network, save

# Two LoRAs of different layers; both change `to_q`.
FIRST = {name: array for name, array in arrays("peft").items() if "to_out" not in name}
SECOND = {name: 0.7 * array[::-1] for name, array in arrays("peft").items() if "to_v" not in name}
LOADED = {"a": FIRST, "b": SECOND}


def load(net: Network, *names: str) -> Network:
    for name in names:
        net.load_lora_adapter(LOADED[name], prefix=None, adapter_name=name)
    return net


def two(dtype: Any = np.float32) -> Network:
    return load(network(dtype), "a", "b")


def bits(net: Network) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in net.weights.items()}


FRESH = bits(network())


def is_sum(net: Network, **weights: float) -> bool:
    """Whether the weights are the first ones and these adapters, in double precision."""
    wanted: Arrays = {name: array.astype(np.float64) for name, array in network().weights.items()}
    for adapter, weight in weights.items():
        content = LOADED[adapter]
        for name in LAYERS:
            if f"{name}.lora_A.weight" in content:
                down, up = content[f"{name}.lora_A.weight"], content[f"{name}.lora_B.weight"]
                change = up.astype(np.float64) @ down.astype(np.float64)
                wanted[f"{name}.weight"] += weight * change
    return all(np.abs(net.weights[name] - wanted[name]).max() < 1e-5 for name in wanted)


def test_the_last_that_is_loaded_is_active() -> None:
    net = load(network(), "a")
    assert net.active_adapters() == ["a"]
    assert is_sum(net, a=1)
    load(net, "b")
    assert net.active_adapters() == ["b"]
    assert net.adapter_names == ["a", "b"]
    assert is_sum(net, b=1)


def test_chosen_weights() -> None:
    net = two()
    for names, weights, wanted in (
        (["a", "b"], [0.5, 0.7], {"a": 0.5, "b": 0.7}),
        (["a", "b"], 0.25, {"a": 0.25, "b": 0.25}),
        (["b", "a"], [2, None], {"a": 1, "b": 2}),
        ("a", None, {"a": 1}),
        ("b", -0.5, {"b": -0.5}),
        ([], None, {}),
    ):
        net.set_adapters(names, weights)
        assert is_sum(net, **wanted), (names, weights)
    net.set_adapters(["a"], 0.5)
    net.set_adapter("b")
    assert is_sum(net, b=-0.5)  # the weight that it had


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_same_choice_gives_the_same_bits(dtype: Any) -> None:
    """Whatever came before, in any order of names, with any weights between."""
    net = two(dtype)
    net.set_adapters(["a", "b"], [0.5, 0.7])
    want = bits(net)
    net.set_adapters("a", 1e3)
    net.disable_lora()
    net.set_adapters(["b", "a"], [0.7, 0.5])
    assert bits(net) == bits(network(dtype))
    net.enable_lora()
    assert bits(net) == want
    net.fuse_lora()
    net.set_adapters("b", 3.0)
    assert bits(net) == want
    net.unfuse_lora()
    net.set_adapters(["a", "b"], [0.5, 0.7])
    assert bits(net) == want
    net.unload_lora()
    assert bits(net) == bits(network(dtype))
    assert not net._originals  # nothing is kept on the host any longer


def test_a_weight_of_zero_leaves_the_first_weights() -> None:
    net = two()
    net.set_adapters(["a", "b"], 0)
    assert bits(net) == FRESH
    assert net.adapters_in_effect == []
    net.load_lora_adapter(FIRST, prefix=None, weight=0)
    assert bits(net) == FRESH


def test_off_and_on_again() -> None:
    net = two()
    net.disable_lora()
    assert bits(net) == FRESH
    net.set_adapters("a", 0.5)
    assert bits(net) == FRESH
    net.enable_lora()
    assert is_sum(net, a=0.5)
    net.disable_adapters()
    net.disable_lora()
    net.enable_adapters()
    assert is_sum(net, a=0.5)


def test_deleted_adapters(caplog: pytest.LogCaptureFixture) -> None:
    net = two()
    net.set_adapters(["a", "b"], [0.5, 0.7])
    net.delete_adapters("a")
    assert is_sum(net, b=0.7)
    load(net, "a")
    net.delete_adapters(["a"])
    assert net.active_adapters() == ["b"]  # the first that is left, as in PEFT
    assert is_sum(net, b=0.7)
    net.delete_adapters("b")
    assert bits(net) == FRESH
    with pytest.raises(InvalidInputError, match="no adapter is loaded"):
        net.active_adapters()
    assert not caplog.records
    net.delete_adapters("none")
    assert "no adapter is called none" in caplog.text


def test_names_of_adapters_without_one() -> None:
    net = network()
    for name in ("default_0", "default_1"):
        net.load_lora_adapter(FIRST, prefix=None)
        assert net.active_adapters() == [name]
    net.delete_adapters("default_0")
    net.load_attn_procs(SECOND)
    assert net.adapter_names == ["default_1", "default_2"]


def test_fused_adapters_stay_whatever_is_chosen(caplog: pytest.LogCaptureFixture) -> None:
    net = two()
    net.set_adapters("a")
    net.fuse_lora()
    assert net.fused_adapters == {"a"}
    assert not caplog.records
    net.set_adapters("b")
    assert "counts after unfuse_lora()" in caplog.text
    assert is_sum(net, a=1)
    net.fuse_lora()
    assert is_sum(net, a=1, b=1)
    net.unfuse_lora()
    assert is_sum(net, b=1)
    assert not net.fused_adapters


def test_the_scale_of_fusing_stays_with_the_active_adapters() -> None:
    net = two()
    net.set_adapters(["a", "b"], [1.0, 0.5])
    net.fuse_lora(0.5)
    assert is_sum(net, a=0.5, b=0.25)
    net.unfuse_lora()
    assert is_sum(net, a=0.5, b=0.25)
    net.set_adapters("a")
    net.fuse_lora(adapter_names=["b"])
    assert is_sum(net, b=0.25)


def test_to_load_another_unfuses(caplog: pytest.LogCaptureFixture) -> None:
    net = load(network(), "a")
    net.fuse_lora()
    load(net, "b")
    assert "are unfused" in caplog.text
    assert is_sum(net, b=1)
    assert not net.fused_adapters


def test_what_is_fused_stays_when_all_is_unloaded() -> None:
    net = two()
    net.set_adapters("a")
    net.fuse_lora(lora_scale=0.5)
    net.unload_lora()
    assert net.adapter_names == []
    assert net.fused_adapters == {"a"}
    assert is_sum(net, a=0.5)
    load(net, "b")
    assert is_sum(net, a=0.5, b=1)
    assert [factor for _, factor in net.adapters_in_effect] == [0.5, 1]
    net.unload_lora()
    assert is_sum(net, a=0.5)
    net.unfuse_lora()  # there is nothing that it could undo, as in diffusers
    assert is_sum(net, a=0.5)


def test_a_fused_adapter_that_is_off_is_not_kept() -> None:
    net = load(network(), "a")
    net.fuse_lora()
    net.disable_lora()
    assert bits(net) == FRESH
    net.enable_lora()
    assert is_sum(net, a=1)
    net.disable_lora()
    net.unload_lora()
    assert bits(net) == FRESH


def test_swapped_in_place() -> None:
    net = load(network(), "a")
    net.set_adapters("a", 0.5)
    net.load_lora_adapter(SECOND, prefix=None, adapter_name="a", hotswap=True)
    assert is_sum(net, b=0.5)
    assert net.adapter_names == ["a"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda net: net.set_adapters("c"), "no adapter is called c: loaded are a, b"),
        (lambda net: net.set_adapter(["a", "c"]), "no adapter is called c"),
        (lambda net: net.set_adapters(["a", "b"], [1]), "1 weights for 2 adapters"),
        (lambda net: net.set_adapters(["a", "a"]), "names an adapter twice"),
        (lambda net: net.set_adapters(3), "give an adapter's name"),
        (lambda net: net.set_adapters("a", float("nan")), "weight=nan"),
        (lambda net: net.set_adapters("a", "1"), "weight='1'"),
        (lambda net: net.set_adapters("a", {"down": 1}), "weights by blocks"),
        (lambda net: net.set_adapters("a", [{"mid": 1}]), "weights by blocks"),
        (lambda net: net.fuse_lora(adapter_names=["c"]), "no adapter is called c"),
        (lambda net: net.fuse_lora(0.5, adapter_names=["a"]), "and not for a"),
        (lambda net: net.fuse_lora("x"), "lora_scale='x'"),
        (lambda net: (net.fuse_lora(), net.fuse_lora(0.5)), "and not for b"),
        (lambda net: (net.fuse_lora(), net.delete_adapters("b")), "fused adapters cannot be del"),
        (lambda net: (net.disable_lora(), net.fuse_lora()), "are off: call enable_lora"),
        (lambda net: load(net, "a"), "adapter_name='a' is in use"),
        (lambda net: net.load_lora_adapter(FIRST, None, adapter_name="a.b"), "without '.'"),
        (lambda net: net.load_lora_adapter(FIRST, None, adapter_name=0.5), "weight="),
        (lambda net: net.load_lora_adapter(FIRST, None, hotswap=True), "no adapter is called def"),
        (
            lambda net: (
                net.fuse_lora(),
                net.load_lora_adapter(FIRST, None, adapter_name="b", hotswap=True),
            ),
            "b is fused",
        ),
        (lambda net: net.load_lora_adapter(FIRST), "starts with 'transformer"),
        (lambda net: net.load_lora_adapter(FIRST, None, versions="x"), "versions: no such option"),
        (lambda net: net.add_adapter(None), "networks are not trained here"),
        (lambda net: net.save_attn_procs("x"), "adapter_name=None: loaded are a, b"),
        (lambda net: net.save_attn_procs("x", save_function=print), "always safetensors"),
        (lambda net: net.save_lora_adapter("x"), "adapter_name='default': loaded are a, b"),
        (lambda net: net.save_lora_adapter("x", "a", safe_serialization=False), "for a pickle"),
        (lambda net: net.save_lora_adapter("x", "a", weight_name="../x.safetensors"), "plain name"),
    ],
)
def test_refused_calls_change_nothing_more(call: Any, said: str) -> None:
    net = two()
    want = bits(net)
    with pytest.raises(InvalidInputError, match=said) as caught:
        call(net)
    assert "\n" not in str(caught.value)
    net.enable_lora()
    assert bits(net) == want


def test_weights_that_would_be_infinite_change_nothing() -> None:
    net = two()
    want = bits(net)
    for _ in range(2):
        with pytest.raises(Exception, match="gives infinity"):
            net.set_adapters("a", 3e38)
    assert bits(net) == want
    assert net.active_adapters() == ["b"]


def test_calls_without_an_effect(caplog: pytest.LogCaptureFixture) -> None:
    net = network()
    for call in (net.fuse_lora, net.unfuse_lora, net.unload_lora, net.disable_lora):
        call()
    net.enable_lora()
    caplog.set_level(logging.INFO)
    net.enable_lora_hotswap(target_rank=64)
    assert "enable_lora_hotswap changes nothing" in caplog.text
    assert bits(net) == FRESH


def test_a_saved_adapter_is_the_same(tmp_path: Path) -> None:
    content = dict(FIRST)
    del content["mid_block.attentions.0.to_q.lora_A.weight"]
    content["mid_block.attentions.0.to_q.lora_A.weight"] = np.ones((1, 12), np.float32)
    content["mid_block.attentions.0.to_q.lora_B.weight"] = np.ones((12, 1), np.float32)
    settings = {
        "r": RANK,
        "lora_alpha": 6,
        "rank_pattern": {"to_q": 1},
        "alpha_pattern": {"to_v": 1.5},
    }
    net = network()
    net.load_lora_adapter(content, prefix=None, metadata=settings, adapter_name="a")
    net.save_lora_adapter(tmp_path / "out", "a")
    again = network()
    again.load_lora_adapter(tmp_path / "out", prefix=None)
    assert bits(again) == bits(net) != FRESH
    net.save_attn_procs(tmp_path / "out", weight_name="x.safetensors")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "pytorch_lora_weights.safetensors",
        "x.safetensors",
    ]


def test_settings_beside_a_file_and_alphas_of_the_caller(tmp_path: Path) -> None:
    path = save(tmp_path / "adapter_model.safetensors", FIRST)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 2 * RANK}))
    net = network()
    net.load_lora_adapter(path, prefix=None)
    assert is_sum(net, a=2)
    alphas = {
        f"{name}.alpha": np.array(RANK / 2, np.float32) for name in LAYERS if "out" not in name
    }
    other = network()
    other.load_lora_adapter(FIRST, prefix=None, network_alphas=alphas)
    assert is_sum(other, a=0.5)
