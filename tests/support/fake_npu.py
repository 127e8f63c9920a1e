"""An NPU that is not there: a stand-in for its attention kernel records calls and computes.

What this cannot show is in the kernel itself: its limits, its speed, its rounding.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from mindspore import ops  # noqa: E402

from kandinsky_core.configs import (  # noqa: E402
    Kandinsky3UNetConfig,
    PriorTransformerConfig,
    T5Config,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from kandinsky_mindspore.cpu import cpu_ops  # noqa: E402
from kandinsky_mindspore.networks import build as networks  # noqa: E402
from kandinsky_mindspore.networks.eight_bits import keep_in_eight_bits  # noqa: E402
from kandinsky_mindspore.placement import devices  # noqa: E402
from kandinsky_mindspore.weights.load import fill_network, parameters_by_name  # noqa: E402
from tests.support.dict_tensors import DictTensors  # noqa: E402

__all__ = [
    "MOVQ",
    "OUTPUT",
    "PRIOR",
    "T5",
    "UNET",
    "UNET_OF_3",
    "component",
    "error",
    "normal",
    "prior_output",
    "replace_kernel",
    "unet_output",
]

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

UNET_OF_3 = Kandinsky3UNetConfig(
    time_embedding_dim=16,
    groups=4,
    attention_head_dim=16,
    layers_per_block=2,
    block_out_channels=(32, 64),
    cross_attention_dim=24,
    encoder_hid_dim=8,
)
T5 = T5Config(
    vocab_size=40,
    d_model=32,
    d_kv=16,
    d_ff=48,
    num_layers=2,
    num_heads=2,
    feed_forward_proj="gated-gelu",
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
        assert query.dtype == key.dtype == value.dtype != ms.float32
        q, k, v = (self._by_head(tensor.asnumpy()) for tensor in (query, key, value))
        self.calls.append(
            SimpleNamespace(query=q.shape, key=k.shape, mask=None if mask is None else mask.shape)
        )
        scores = q @ k.swapaxes(2, 3) * self.scale
        if mask is not None:
            assert mask.dtype == ms.bool_
            scores = np.where(mask.asnumpy(), -np.inf, scores)  # true is left out
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out = weights / weights.sum(-1, keepdims=True) @ v
        if self.layout == "BSH":
            out = out.swapaxes(1, 2).reshape(query.shape)
        return None, None, None, ms.Tensor(out.astype(np.float16))

    def _by_head(self, array: Any) -> Any:
        """Return [B,N,T,D] in float64 of an array of the kernel's layout."""
        wide = array.astype(np.float64)
        if self.layout == "BSH":  # [B,T,N*D]
            batch, length, width = wide.shape
            split = wide.reshape(batch, length, self.head_num, width // self.head_num)
            return split.swapaxes(1, 2)
        assert (self.layout, wide.shape[1]) == ("BNSD", self.head_num)
        return wide


def replace_kernel(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Put the stand-in in the kernel's place; return its calls from here on."""
    devices.select_device("cpu")
    cpu_ops.install()
    monkeypatch.setattr(ops.operations.nn_ops, "FlashAttentionScore", FakeFlashAttentionScore)
    FakeFlashAttentionScore.calls.clear()
    return FakeFlashAttentionScore.calls


def component(
    monkeypatch: pytest.MonkeyPatch,
    component_class: Any,
    config: Any,
    *,
    npu: bool,
    dtype: str,
    quantize: str | None = None,
    **options: Any,
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
        if quantize is not None:
            keep_in_eight_bits(cell, config.CLASS_NAME)
    generator = np.random.default_rng(3)
    tensors = {
        name: (0.3 * generator.standard_normal(parameter.shape)).astype(np.float32)
        for name, parameter in parameters_by_name(cell).items()
    }
    fill_network(cell, config.CLASS_NAME, DictTensors(tensors), dtype)
    made = component_class(cell, config, device="ascend:0" if npu else "cpu", **options)
    made.quantize = quantize
    return made


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
