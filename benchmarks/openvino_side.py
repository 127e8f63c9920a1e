"""Times the same components of PyTorch diffusers after OpenVINO has compiled them for the CPU."""

from __future__ import annotations

import gc
import time
from typing import Any

from benchmarks.full_size import Case
from benchmarks.torch_side import CALLS, built
from benchmarks.turns import versions

__all__ = ["measure"]

_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def measure(
    case: Case, model: str, form: str, dtype: str, size: int, repeats: int
) -> dict[str, Any]:
    """Time a first call and `repeats` further ones.

    Args:
        case: The call.
        model: `2.2` or `shapes`.
        form: `plain`, or `int8`: weights and activations of convolutions and products in 8 bits,
            as NNCF makes them.
        dtype: The dtype that OpenVINO is to compute in, besides what is in 8 bits.
        size: Pixels of a side.
        repeats: Timed calls.
    """
    import openvino
    import torch

    start = time.perf_counter()
    network, inputs = _converted(case, model, size, int8=form == "int8")
    loading = time.perf_counter() - start
    start = time.perf_counter()
    options = {"INFERENCE_PRECISION_HINT": _HINTS[dtype], "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(network, "CPU", options)
    compiling = time.perf_counter() - start
    request = compiled.create_infer_request()
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        request.infer(inputs)
        seconds.append(time.perf_counter() - start)
    return {
        "device": "cpu",
        "load": loading,
        "first": compiling + seconds[0],
        "compile": compiling,
        "steps": seconds[1:],
        "versions": versions("openvino", "nncf", "torch", "diffusers"),
        "precision": str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string()),
        "threads": torch.get_num_threads(),
    }


def _converted(case: Case, model: str, size: int, *, int8: bool) -> tuple[Any, list[Any]]:
    """Return OpenVINO's network, and its inputs as arrays."""
    import openvino
    import torch

    source = built(case.source(model), torch.float32, "cpu")
    call, arguments = CALLS[case.name](source, size)

    class Traced(torch.nn.Module):
        """The call as a module, whose parameters are the network's."""

        def __init__(self) -> None:
            super().__init__()
            self.network = source

        def forward(self, *given: Any) -> Any:
            return call(*given)

    with torch.no_grad():
        network = openvino.convert_model(Traced(), example_input=arguments)
    inputs = [argument.numpy() for argument in arguments]
    # OpenVINO 2026.4.1 crashes on the UNet in float32 where the size of the batch is fixed too.
    network.reshape({p: [-1, *a.shape[1:]] for p, a in zip(network.inputs, inputs, strict=True)})
    if int8:
        network = _in_int8(network, inputs)
    gc.collect()
    return network, inputs


def _in_int8(network: Any, inputs: list[Any]) -> Any:
    """Quantize by one random input, as only the speed is looked at."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters

    exact = AdvancedQuantizationParameters(disable_bias_correction=True)
    data = nncf.Dataset([inputs])
    return nncf.quantize(network, data, subset_size=1, advanced_parameters=exact)
