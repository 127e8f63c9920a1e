"""Attention on an NPU that is not there: a stand-in for its kernel records calls and computes.

What this cannot show is in the kernel itself: its limits, its speed, its rounding.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from backends.mindspore.runtime import load_mindspore

ms = load_mindspore()

from mindspore import ops  # noqa: E402

from backends.mindspore import (  # noqa: E402
    attention,
    components,
    cpu_ops,
    denoise,
    devices,
    networks,
)
from kandinsky_core.compilations import CompilationLog  # noqa: E402
from kandinsky_core.configs import (  # noqa: E402
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from tests.dict_tensors import DictTensors  # noqa: E402

OUTPUT = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
UNET = UNet2DConditionConfig(
    in_channels=4,
    out_channels=8,
    block_out_channels=(32, 64),
    down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    mid_block_type="UNetMidBlock2DSimpleCrossAttn",
    resnet_time_scale_shift="scale_shift",
    layers_per_block=1,
    attention_head_dim=16,
    cross_attention_dim=32,
    addition_embed_type="image",
    encoder_hid_dim=24,
    encoder_hid_dim_type="image_proj",
)
PRIOR = PriorTransformerConfig(
    num_attention_heads=2, attention_head_dim=16, num_layers=2, embedding_dim=8, num_embeddings=5
)
MOVQ = VQModelConfig(
    latent_channels=4,
    block_out_channels=(32, 64),
    down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    layers_per_block=1,
    norm_type="spatial",
)


class FakeFlashAttentionScore:
    """The kernel's interface as its documentation has it, in float64."""

    calls: ClassVar[list[SimpleNamespace]] = []

    def __init__(
        self, *, head_num: int, keep_prob: float, scale_value: float, input_layout: str
    ) -> None:
        self.head_num, self.scale, self.layout = head_num, scale_value, input_layout
        assert keep_prob == 1.0

    def __call__(
        self, query: Any, key: Any, value: Any, *others: Any
    ) -> tuple[None, None, None, Any]:
        mask = others[3] if len(others) > 3 else None
        assert self.layout == "BNSD"
        assert query.shape[1] == key.shape[1] == value.shape[1] == self.head_num
        assert query.dtype == key.dtype == value.dtype != ms.float32
        self.calls.append(
            SimpleNamespace(
                query=query.shape, key=key.shape, mask=None if mask is None else mask.shape
            )
        )
        q, k, v = (tensor.asnumpy().astype(np.float64) for tensor in (query, key, value))
        scores = q @ k.swapaxes(2, 3) * self.scale
        if mask is not None:
            assert mask.dtype == ms.bool_
            scores = np.where(mask.asnumpy(), -np.inf, scores)  # true is left out
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out = weights / weights.sum(-1, keepdims=True) @ v
        return None, None, None, ms.Tensor(out.astype(np.float16))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The calls of the kernel from here on."""
    devices.select_device("cpu")
    cpu_ops.install()
    monkeypatch.setattr(ops.operations.nn_ops, "FlashAttentionScore", FakeFlashAttentionScore)
    FakeFlashAttentionScore.calls.clear()
    return FakeFlashAttentionScore.calls


def component(
    monkeypatch: pytest.MonkeyPatch, component_class: Any, config: Any, *, npu: bool, dtype: str
) -> Any:
    """A component with random weights, built as on an NPU or as on a CPU."""
    with monkeypatch.context() as patch:
        if npu:  # mindone asks while it builds
            known = ms.get_context
            patch.setattr(
                ms,
                "get_context",
                lambda name: "Ascend" if name == "device_target" else known(name),
            )
        cell = networks.build_network(config)
    generator = np.random.default_rng(3)
    tensors = {
        name: (0.3 * generator.standard_normal(parameter.shape)).astype(np.float32)
        for name, parameter in networks.parameters_by_name(cell).items()
    }
    networks.fill_network(cell, config.CLASS_NAME, DictTensors(tensors), dtype)
    return component_class(cell, config, device="ascend:0" if npu else "cpu")


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def unet_output(unet: Any) -> Any:
    run = unet.begin(normal(2, 4, 4, 6), {"image_embeds": normal(2, 24)}, 1.0)
    run.step(500, OUTPUT, None)
    return run.read()


def prior_output(prior: Any) -> Any:
    conditioning = {
        "prompt_embeds": normal(2, 8),
        "text_encoder_hidden_states": normal(2, 5, 8),
        "text_mask": np.arange(5)[None] < np.array([[5], [2]]),
    }
    run = prior.begin(normal(2, 8), conditioning, 1.0)
    run.step(42, OUTPUT, None)
    return run.read()


def error(given: Any, expected: Any) -> float:
    return float(np.linalg.norm(given - expected) / np.linalg.norm(expected))


def test_every_attention_of_a_unet_reaches_the_fused_kernel(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_prior_in_half_precision_reaches_it_with_its_mask(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = prior_output(
        component(monkeypatch, denoise.MindSporePrior, PRIOR, npu=False, dtype="float32")
    )
    # mindone's own way asks whether a mask on the device holds a 1.0.
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
def test_float32_is_computed_in_float32_on_an_npu(
    calls: list[SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    component_class: Any,
    config: Any,
    output: Any,
) -> None:
    """Left to itself mindone's prior fails here, and its MoVQ computes attention in float16."""
    pair = [
        component(monkeypatch, component_class, config, npu=npu, dtype="float32")
        for npu in (False, True)
    ]
    np.testing.assert_array_equal(output(pair[0]), output(pair[1]))
    assert calls == []


def test_a_cast_changes_what_computes_attention(
    calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = component(monkeypatch, denoise.MindSporeUNet, UNET, npu=True, dtype="float32")
    before = unet_output(unet)
    unet.to(dtype="float16")
    assert calls == []
    unet_output(unet)
    assert len(calls) == 4
    unet.to(dtype="float32")
    assert error(unet_output(unet), before) < 1e-2
    assert len(calls) == 4


@ms.jit_class
class CompilableKernel:
    """The kernel's interface in operators that MindSpore can compile on a CPU, in any dtype."""

    def __init__(
        self, head_num: int, keep_prob: float, scale_value: float, input_layout: str
    ) -> None:
        self.scale = scale_value

    def __call__(
        self, query: Any, key: Any, value: Any, bias: Any, drop: Any, padding: Any, mask: Any
    ) -> Any:
        scores = ops.matmul(query, key.swapaxes(2, 3)) * self.scale
        out = ops.matmul(ops.softmax(scores, axis=-1), value)
        return None, None, None, out


@pytest.mark.slow
def test_the_fused_attention_of_a_unet_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    devices.select_device("cpu")
    cpu_ops.install()
    unet = component(monkeypatch, denoise.MindSporeUNet, UNET, npu=False, dtype="float32")
    expected = unet_output(unet)
    monkeypatch.setattr(attention, "fused_attention_suits", lambda *_: True)
    monkeypatch.setattr(ops.operations.nn_ops, "FlashAttentionScore", CompilableKernel)
    unet._log = CompilationLog()
    unet._settle()
    assert error(unet_output(unet), expected) < 1e-5
    assert [entry.shape for entry in unet._log] == ["(2, 4, 4, 6)"]


@pytest.mark.parametrize(
    ("device", "dtype", "width", "suits"),
    [
        ("ascend:0", "float16", 64, True),
        ("ascend:0", "bfloat16", 512, True),
        ("ascend:0", "float32", 64, False),
        ("ascend:0", "float16", 528, False),
        ("ascend:0", "float16", 12, False),
        ("cpu", "float16", 64, False),
    ],
)
def test_limits_of_the_kernel(device: str, dtype: str, width: int, suits: bool) -> None:
    assert attention.fused_attention_suits(device, dtype, width) == suits
