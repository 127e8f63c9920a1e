"""Errors of mindone 0.5.0 that users of this library could meet, one test each: none comes back.

The numbers are those of our list. Not tested, because no code of ours goes there:

- B4 (image-to-image of 2.1 with several prompts), B12 (the emb2emb prior's `interpolate`),
  B13 (img2img's dead branch), B14 (messages about "pt"), B15 (a warning of Kandinsky 3): mindone's
  pipelines and schedulers, which are not used; the pipelines are `kandinsky_core`'s.
- B5 (math attention overwritten by the fused kernel): `layers_compat`'s function, which none of
  the networks calls.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore, mindone_module

ms = load_mindspore()

from kandinsky_core import KandinskyV22PriorPipeline  # noqa: E402
from kandinsky_core.configs import (  # noqa: E402
    CLIPTextConfig,
    Kandinsky3UNetConfig,
    T5Config,
)
from kandinsky_mindspore import create  # noqa: E402
from kandinsky_mindspore.components import denoise  # noqa: E402
from kandinsky_mindspore.components import encoders as components  # noqa: E402
from kandinsky_mindspore.networks import build as networks  # noqa: E402
from kandinsky_mindspore.weights.load import fill_network, parameters_by_name  # noqa: E402
from tests.support.dict_tensors import DictTensors  # noqa: E402
from tests.support.fake_npu import (  # noqa: E402
    MOVQ,
    PRIOR,
    UNET,
    component,
    error,
    normal,
    prior_output,
    replace_kernel,
    unet_output,
)

CLIP = {
    "vocab_size": 99,
    "hidden_size": 8,
    "intermediate_size": 12,
    "projection_dim": 6,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "max_position_embeddings": 77,
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The calls of the NPU's attention kernel."""
    return replace_kernel(monkeypatch)


@pytest.mark.parametrize(
    ("npu", "dtype", "head_width"),
    [(False, "float32", 16), (False, "float16", 16), (True, "float32", 16), (True, "float16", 528)],
)
def test_b1_a_masked_prior_runs_where_the_fused_kernel_does_not(
    calls: list[SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    npu: bool,
    dtype: str,
    head_width: int,
) -> None:
    """mindone's own choice adds a mask of four axes to scores of three, and fails."""
    config = dataclasses.replace(PRIOR, attention_head_dim=head_width)
    prior = component(monkeypatch, denoise.MindSporePrior, config, npu=npu, dtype=dtype)
    assert np.isfinite(prior_output(prior)).all()
    assert calls == []


def test_b2_every_attention_of_a_unet_reaches_the_fused_kernel(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mindone's UNets of 2.x compute in plain products on an NPU too."""
    exact = unet_output(
        component(monkeypatch, denoise.MindSporeUNet, UNET, npu=False, dtype="float32")
    )
    plain = unet_output(
        component(monkeypatch, denoise.MindSporeUNet, UNET, npu=False, dtype="float16")
    )
    assert calls == []
    npu = component(monkeypatch, denoise.MindSporeUNet, UNET, npu=True, dtype="float16")
    fused = unet_output(npu)
    assert error(fused, exact) < 1.5 * error(plain, exact)
    # One block down, the middle, two blocks up; at each 6 image positions and 32 tokens.
    assert len(calls) == 4
    assert {call.query for call in calls} == {(2, 4, 6, 16)}
    assert {call.key for call in calls} == {(2, 4, 38, 16)}
    assert {call.mask for call in calls} == {None}


@pytest.mark.parametrize("npu", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_b3_a_unet_keeps_processors_that_know_added_keys(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch, npu: bool, dtype: str
) -> None:
    """mindone's xformers switch, on or off, gives 2.x UNets some that do not, and these fail.

    Loading undoes it, and so does every cast; ours (`torch_calls`) only writes to the log.
    """
    unet = component(monkeypatch, denoise.MindSporeUNet, UNET, npu=npu, dtype=dtype)
    expected = unet_output(unet)
    mindone = mindone_module("mindone.diffusers.models.attention_processor")
    for _, cell in unet._cell.cells_and_names():
        if isinstance(cell, mindone.Attention):
            cell.set_use_memory_efficient_attention_xformers(False)
    with pytest.raises(ValueError, match="dimensions must be equal"):
        unet_output(unet)
    for name in ("float32", "float16", dtype):
        unet.to(dtype=name)
    assert error(unet_output(unet), expected) < 1e-2


def test_b6_norms_without_weights_have_none() -> None:
    """mindone gives them some, which no checkpoint holds."""
    config = Kandinsky3UNetConfig(
        time_embedding_dim=32,
        groups=4,
        attention_head_dim=8,
        layers_per_block=2,
        block_out_channels=(16, 32),
        cross_attention_dim=16,
        encoder_hid_dim=24,
    )
    names = parameters_by_name(networks.build_network(config))
    assert [name for name in names if ".context_mlp." in name]
    assert [name for name in names if name.endswith((".norm.weight", ".norm.bias"))] == []


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_b7_stored_positions_are_neither_missing_nor_cast(dtype: str) -> None:
    """mindone reports them missing, makes them float16, and draws all weights beforehand."""
    config = CLIPTextConfig(**CLIP)
    network = networks.build_network(config)
    tables = [p for p in network.get_parameters() if p.ndim == 2 and p.shape[0] > 1]
    assert tables
    assert all(parameter.has_init for parameter in tables), "values were drawn"
    tensors = {
        name: normal(*parameter.shape) for name, parameter in parameters_by_name(network).items()
    }
    positions = {"text_model.embeddings.position_ids": np.arange(77)[None]}
    for given in (tensors, tensors | positions):
        held = DictTensors(given)
        source: Any = SimpleNamespace(
            class_name="CLIPTextModelWithProjection",
            config=CLIP,
            tensors=lambda held=held: held,
        )
        encoder = create().load(source, dtype)
        assert set(held.reads) == set(given)  # the positions are kept for saving alone
        made = encoder._cell.text_model.embeddings.position_ids
        np.testing.assert_array_equal(made.asnumpy(), np.arange(77)[None])
        assert not made.is_floating_point()


@pytest.mark.parametrize(
    "stored", [("shared.weight",), ("shared.weight", "encoder.embed_tokens.weight")]
)
def test_b8_a_tied_embedding_is_not_missing(stored: tuple[str, ...]) -> None:
    """mindone reports it as newly initialised where a file holds it once."""
    config = T5Config(
        vocab_size=12,
        d_model=8,
        d_kv=4,
        d_ff=12,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    network = networks.build_network(config)
    expected = parameters_by_name(network)
    tensors = {name: normal(*parameter.shape) for name, parameter in expected.items()}
    table = normal(12, 8)
    tied = {"shared.weight", "encoder.embed_tokens.weight"}
    tensors = {name: value for name, value in tensors.items() if name not in tied}
    given = DictTensors(tensors | dict.fromkeys(stored, table))
    fill_network(network, "T5EncoderModel", given, "float32")
    np.testing.assert_array_equal(network.encoder.embed_tokens.weight.asnumpy(), table)


def test_b9_no_attention_asks_what_its_mask_holds(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mindone asks whether it holds a 1.0: each layer of the prior waits for the device."""
    exact = prior_output(
        component(monkeypatch, denoise.MindSporePrior, PRIOR, npu=False, dtype="float32")
    )
    monkeypatch.delattr(ms.Tensor, "__contains__")
    fused = prior_output(
        component(monkeypatch, denoise.MindSporePrior, PRIOR, npu=True, dtype="float16")
    )
    assert error(fused, exact) < 3e-3
    assert [vars(call) for call in calls] == 2 * [
        {"query": (2, 2, 9, 16), "key": (2, 2, 9, 16), "mask": (2, 1, 9, 9)}
    ]


@pytest.mark.parametrize(
    ("component_class", "config", "output"),
    [
        (denoise.MindSporeUNet, UNET, unet_output),
        (denoise.MindSporePrior, PRIOR, prior_output),
        (components.MindSporeAutoencoder, MOVQ, lambda movq: movq.decode(normal(1, 4, 3, 5))),
    ],
)
def test_b10_float32_is_computed_in_float32_on_an_npu(
    calls: list[SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    component_class: Any,
    config: Any,
    output: Any,
) -> None:
    """mindone casts to float16 for attention, and its prior fails where it is told not to."""
    pair = [
        component(monkeypatch, component_class, config, npu=npu, dtype="float32")
        for npu in (False, True)
    ]
    # A CPU has an order of its own. float16 would be off by a thousandth.
    np.testing.assert_allclose(output(pair[0]), output(pair[1]), rtol=1e-4, atol=1e-5)
    assert calls == []


@pytest.mark.parametrize("given", ["float16", ms.float16, np.float16])
@pytest.mark.parametrize("keyword", ["dtype", "mindspore_dtype"])
def test_b11_a_dtype_is_understood_however_it_is_written(keyword: str, given: Any) -> None:
    """mindone takes the name of a dtype for float32, without an error."""
    pipe = KandinskyV22PriorPipeline.from_pretrained(
        "shapes", backend="mindspore", **{keyword: given}
    )
    for network in pipe.networks.values():
        assert {parameter.dtype for parameter in network._cell.get_parameters()} == {ms.float16}
