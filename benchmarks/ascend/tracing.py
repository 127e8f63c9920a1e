"""Has MindSpore's compiler trace a function as for an NPU, and returns the graph as text.

The graph is the last one of the compiler's front end, which MindSpore calls `validate`. Until there
no pass asks for the device; kernels are chosen only after it. So it needs no NPU, and operators for
which a CPU has no kernel are in it as well.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mindspore as ms
from mindspore import _c_expression, context
from mindspore.ops import functional_overload

from kandinsky_core.seam.quantization import Quantize
from kandinsky_mindspore.cpu import cpu_ops
from kandinsky_mindspore.networks.build import build_network
from kandinsky_mindspore.networks.eight_bits import keep_in_eight_bits
from kandinsky_mindspore.runtime import LOCK

__all__ = ["as_on_ascend", "network_without_weights", "traced"]

DEVICE = "ascend:0"


@contextlib.contextmanager
def as_on_ascend() -> Iterator[None]:
    """Answer `Ascend` to those who ask for the device: mindone while it builds and is traced.

    GELU is the NPU's meanwhile: of all that `cpu_ops` replaces, the compiler would trace it alone.
    """
    known = context.get_context

    def answer(name: str) -> Any:
        return "Ascend" if name == "device_target" else known(name)

    with (
        mock.patch.object(ms, "get_context", answer),
        mock.patch.object(context, "get_context", answer),
        mock.patch.object(functional_overload, "_gelu_instance", _c_expression._gelu_instance),
    ):
        yield


def network_without_weights(
    component_class: Any, config: Any, dtype: str, quantize: Quantize = None
) -> Any:
    """Return a component as it is on an NPU; its parameters have a dtype and no values."""
    cpu_ops.install()  # mindone makes tables while it builds
    with LOCK, as_on_ascend():
        cell = build_network(config)
        if quantize is not None:
            keep_in_eight_bits(cell, config.CLASS_NAME)
        for parameter in cell.get_parameters():
            if parameter.dtype != ms.int8:
                parameter.set_dtype(getattr(ms, dtype))
        cell.generate_scope()  # MindSpore does so itself only for a cell that it calls first
        return component_class(cell, config, device=DEVICE)


def traced(function: Callable[..., Any], *tensors: Any) -> str:
    """Return the graph of a function of tensors, as MindSpore writes it down.

    Raises:
        RuntimeError: MindSpore has written no graph.
    """
    with tempfile.TemporaryDirectory(prefix="kandinsky-graph-") as folder:
        with LOCK, as_on_ascend(), _only_written_to(folder):
            ms.jit(function, jit_level="O0")(*tensors)
        written = sorted(Path(folder).rglob("*validate*.ir"))
        if not written:
            raise RuntimeError("MindSpore's compiler has written no graph of its front end")
        return written[-1].read_text(encoding="utf-8")


@contextlib.contextmanager
def _only_written_to(folder: str) -> Iterator[None]:
    """Let the compiler write graphs into a folder, and stop before it chooses kernels."""
    _set_context(save_graphs=1, save_graphs_path=folder, precompile_only=True)
    try:
        yield
    finally:
        _set_context(save_graphs=0, precompile_only=False)


def _set_context(**values: Any) -> None:
    # MindSpore warns that variables of the environment will take the place of these. It reads them
    # once in a process, so that they cannot be taken back.
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        ms.set_context(**values)
    finally:
        logging.disable(disabled)
