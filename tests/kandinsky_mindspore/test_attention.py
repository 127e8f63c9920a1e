"""What computes attention on an NPU that is not there; see `tests.support.fake_npu`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

ms = load_mindspore()

from mindspore import ops  # noqa: E402

from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_mindspore.components import denoise  # noqa: E402
from kandinsky_mindspore.cpu import cpu_ops  # noqa: E402
from kandinsky_mindspore.networks import attention  # noqa: E402
from kandinsky_mindspore.placement import devices  # noqa: E402
from tests.support.fake_npu import UNET, component, error, replace_kernel, unet_output  # noqa: E402


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The calls of the kernel."""
    return replace_kernel(monkeypatch)


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
        self.heads, self.scale = head_num, scale_value

    def __call__(
        self, query: Any, key: Any, value: Any, bias: Any, drop: Any, padding: Any, mask: Any
    ) -> Any:
        q, k, v = self._split(query), self._split(key), self._split(value)
        scores = ops.matmul(q, k.swapaxes(2, 3)) * self.scale
        out = ops.matmul(ops.softmax(scores, axis=-1), v)
        return None, None, None, out.swapaxes(1, 2).reshape(query.shape)

    def _split(self, x: Any) -> Any:
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).swapaxes(1, 2)


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
