"""diffusers' calls for adapters on a pipeline: they reach the networks, and the pictures say so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_backend_kit.adapter_set import AdapterSet
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.lora import read_lora
from kandinsky_core.errors import CheckpointError, InvalidInputError
from tests.support.fake_hub import FakeHub
from tests.support.fakes import combined_pipeline
from tests.support.lora_arrays import LAYERS, Arrays, Network, Pipe, arrays, network, save

BLOCK = "transformer_blocks.0.attn1"
PRIOR = {
    f"{BLOCK}.to_q.lora_A.weight": np.ones((1, 2), np.float32),
    f"{BLOCK}.to_q.lora_B.weight": np.ones((2, 1), np.float32),
}
TWO_HALVES = {"num_inference_steps": 1, "prior_num_inference_steps": 1, "height": 16, "width": 16}


def prior() -> Network:
    return Network({f"{BLOCK}.to_q.weight": np.zeros((2, 2), np.float32)})


def both() -> Pipe:
    """A pipeline with a UNet that has `a` and `b`, and a prior that has `b` and `c`."""
    pipe = Pipe(prior_prior=prior(), movq=object(), unet=network())
    for name in "ab":
        pipe.load_lora_weights(arrays(), adapter_name=name)
    for name in "bc":
        pipe.load_lora_weights(PRIOR, adapter_name=name)
    return pipe


def factors(pipe: Any) -> list[list[float]]:
    """The factors in effect of the UNet and of the prior."""
    networks = pipe.networks["unet"], pipe.networks["prior_prior"]
    return [[factor for _, factor in network.adapters_in_effect] for network in networks]


def weights(pipe: Any) -> Arrays:
    return {**pipe.networks["unet"].weights, **pipe.networks["prior_prior"].weights}


def test_adapters_go_to_their_network_and_are_listed() -> None:
    pipe = both()
    assert pipe.get_list_adapters() == {"unet": ["a", "b"], "prior_prior": ["b", "c"]}
    assert pipe.get_active_adapters() == ["b", "c"]
    assert factors(pipe) == [[1], [1]]
    pipe.delete_adapters(["a", "c"])
    assert pipe.get_list_adapters() == {"unet": ["b"], "prior_prior": ["b"]}
    pipe.delete_adapters("b")
    assert (pipe.get_list_adapters(), pipe.get_active_adapters()) == ({}, [])
    fresh = weights(Pipe(unet=network(), prior_prior=prior()))
    assert all(np.array_equal(array, fresh[name]) for name, array in weights(pipe).items())


@pytest.mark.parametrize(
    ("names", "given", "wanted"),
    [
        (["a", "b"], [0.5, 2], [[0.5, 2], [2]]),
        (["b", "c"], 0.5, [[0.5], [0.5, 0.5]]),
        ("a", None, [[1], []]),
        (["b", "c"], {"unet": 0.5}, [[0.5], [1, 1]]),
        (["b", "c"], [{"unet": 0.5, "prior_prior": 2}, None], [[0.5], [2, 1]]),
        (["c"], [0], [[], []]),
    ],
)
def test_chosen_adapters_reach_the_networks_that_have_them(
    names: Any, given: Any, wanted: Any
) -> None:
    pipe = both()
    pipe.set_adapters(names, given)
    assert factors(pipe) == wanted


def test_fused_switched_off_and_unloaded() -> None:
    pipe = both()
    pipe.set_adapters(["a", "b", "c"], [1, 1, 0.5])
    pipe.fuse_lora(lora_scale=0.5, components=["unet", "text_encoder"], fuse_unet=True)
    assert factors(pipe) == [[0.5, 0.5], [1, 0.5]]
    assert (pipe.fused_loras, pipe.num_fused_loras, pipe.lora_scale) == ({"a", "b"}, 2, 1)
    pipe.unfuse_lora()
    assert pipe.num_fused_loras == 0
    pipe.fuse_lora(adapter_names=["c"])
    assert factors(pipe) == [[0.5, 0.5], [0.5]]
    pipe.unfuse_lora(components=["unet"])
    assert pipe.fused_loras == {"c"}
    pipe.disable_lora()
    assert factors(pipe) == [[], []]
    pipe.enable_lora()
    pipe.unfuse_lora(unfuse_unet=True)
    pipe.unload_lora_weights()
    assert (factors(pipe), pipe.get_list_adapters(), pipe.lora_facts) == ([[], []], {}, {})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda pipe: pipe.set_adapters(["a", "x"]), "no adapter is called x: loaded are a, b, b"),
        (lambda pipe: pipe.set_adapters("a", {"text_encoder": 1}), "weights name text_encoder"),
        (lambda pipe: pipe.set_adapters(["a", "b"], [1, 2, 3]), "3 weights for 2 adapters"),
        (lambda pipe: pipe.fuse_lora(components=["movq"]), "adapters are for unet, prior_prior"),
        (lambda pipe: pipe.fuse_lora(adapter_names=["x"]), "no adapter is called x"),
        (lambda pipe: pipe.fuse_lora(fuse_movq=True), "fuse_lora takes no fuse_movq"),
        (lambda pipe: pipe.unfuse_lora(fuse_unet=True), "unfuse_lora takes no fuse_unet"),
        (lambda pipe: (pipe.fuse_lora(), pipe.delete_adapters(["a", "c"])), "c: fused adapters"),
        (lambda pipe: pipe.load_lora_weights(PRIOR, 0.5), "weight="),
        (lambda pipe: pipe.load_lora_weights(PRIOR, "b"), "adapter_name='b' is in use"),
        (lambda pipe: pipe.load_lora_weights(PRIOR, scale=1), "scale: no such option"),
        (lambda pipe: pipe.save_lora_weights("x"), "there is no adapter to write"),
        (lambda pipe: pipe.save_lora_weights("x", PRIOR, PRIOR), "takes no LoRA"),
        (lambda pipe: pipe.save_lora_weights("x", PRIOR, save_function=print), "always safetens"),
        (lambda pipe: pipe.save_lora_weights("x", PRIOR, safe_serialization=False), "always saf"),
        (
            lambda pipe: pipe.load_lora_into_text_encoder({"text_encoder.q": 1}, None, None),
            "takes no LoRA here",
        ),
    ],
)
def test_refused_calls_change_nothing_more(call: Any, said: str) -> None:
    pipe = both()
    names = pipe.get_list_adapters()
    with pytest.raises(InvalidInputError, match=said):
        call(pipe)
    assert pipe.get_list_adapters() == names
    assert factors(pipe) == [[1], [1]]


def test_calls_that_change_nothing_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pipe = Pipe(unet=network(), prior_prior=prior())
    pipe.set_lora_device(["a"], "cpu")
    pipe.enable_lora_hotswap(target_rank=8)
    pipe.delete_adapters("a")
    pipe.fuse_lora()
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("set_lora_device changes nothing")
    assert said[1].startswith("enable_lora_hotswap changes nothing")
    assert said[2:] == [
        "delete_adapters: no adapter is called a",
        "fuse_lora: no adapter is loaded, so nothing is fused",
    ]
    pipe.load_lora_into_text_encoder(arrays(), None, None)
    assert len(caplog.records) == 4


def test_a_network_without_adapters_has_no_lora() -> None:
    with pytest.raises(CheckpointError, match="is a LoRA for the unet, and this pipeline has movq"):
        Pipe(movq=network()).load_lora_weights(arrays())
    with pytest.raises(InvalidInputError, match="LoRA for the unet, whose backend takes none"):
        combined_pipeline().load_lora_weights(arrays())


def test_written_and_read_as_in_diffusers(tmp_path: Path) -> None:
    settings: Any = {"r": 3, "lora_alpha": 6, "target_modules": {"to_q", "to_k"}}
    columns = {name: np.asfortranarray(array) for name, array in arrays("peft").items()}
    Pipe.save_lora_weights(tmp_path, columns, unet_lora_adapter_metadata=settings)
    assert {adapter.scale for adapter in read_lora(tmp_path).values()} == {2}
    found, alphas, header = Pipe.lora_state_dict(tmp_path, return_lora_metadata=True)
    assert alphas is None
    assert '"unet.lora_alpha": 6' in header["lora_adapter_metadata"]
    for name, array in arrays("peft", "unet.").items():
        assert np.array_equal(found[name], array)
    unet, other = network(), Pipe(unet=network())
    Pipe.load_lora_into_unet(found, alphas, unet, adapter_name="a", metadata=settings)
    other.load_lora_weights(tmp_path)
    for name, array in unet.weights.items():
        assert np.array_equal(array, other.networks["unet"].weights[name])


def test_from_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    save(tmp_path / "repo" / "sub" / "style.safetensors", arrays())
    hub.add("painter/style", tmp_path / "repo", revision="v1")
    place = {"weight_name": "style.safetensors", "subfolder": "sub"}
    for target in (Pipe(unet=network()), network()):
        load: Any = getattr(target, "load_lora_weights", None) or target.load_attn_procs
        load("painter/style", **place, revision="v1", cache_dir=tmp_path / "cache", weight=0.5)
        net: Any = target if isinstance(target, Network) else target.networks["unet"]
        assert net.adapters_in_effect == [("painter/style/sub/style.safetensors", 0.5)]
    assert hub.downloads("painter/style") == {"sub/style.safetensors"}
    found, _ = Pipe.lora_state_dict(
        "painter/style", **place, revision="v1", cache_dir=tmp_path / "cache", local_files_only=True
    )
    assert set(found) == set(arrays())
    assert HubOptions.given({"revision": "v1"}).revision == "v1"


def take_adapters(fake: Any, values: Arrays) -> None:
    """Let a fake network hold weights that adapters change."""
    fake.__class__ = type("Adapted", (Network, type(fake)), {})
    fake.weights, fake._originals, fake._adapters = dict(values), {}, AdapterSet()


def test_pictures_say_which_adapters_made_them(tmp_path: Path) -> None:
    pipe = combined_pipeline()
    take_adapters(pipe.unet, network().weights)
    take_adapters(pipe.prior_prior, prior().weights)
    path = save(tmp_path / "a.safetensors", arrays())

    def said() -> Any:
        return pipe("ab", seed=0, **TWO_HALVES).metadata[0].get("lora")

    assert said() is None
    pipe.load_lora_weights(path, adapter_name="a", weight=0.5)
    assert said() == f"{path}:0.5"
    pipe.prior_pipe.load_lora_weights(PRIOR, adapter_name="p")
    assert said() == f"{path}:0.5,a dict of arrays:1"
    pipe.unet.load_lora_adapter(path, prefix=None, adapter_name="b")
    assert said() == f"{path}:1,a dict of arrays:1"
    pipe.set_adapters(["a", "b", "p"], [1 / 3, 2, 0])
    assert said() == f"{path}:{1 / 3:.15g},{path}:2"
    assert pipe.decoder_pipe.get_active_adapters() == ["a", "b"]
    pipe.disable_lora()
    assert said() is None
    pipe.enable_lora()
    pipe.decoder_pipe.unload_lora_weights()
    assert said() is None
    assert {name.removesuffix(".weight") for name in pipe.unet.weights} >= set(LAYERS)
