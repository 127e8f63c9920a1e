"""What a TPU's compiler is told, and what happens where it does not know it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

jax = pytest.importorskip("jax")

from kandinsky_jax.programs.compiler_options import (  # noqa: E402
    compile_lowered,
    compiler_options,
)

TPU: Any = SimpleNamespace(platform="tpu", device_kind="TPU v5 lite")
V5P: Any = SimpleNamespace(platform="tpu", device_kind="TPU v5")
V6E: Any = SimpleNamespace(platform="tpu", device_kind="TPU v6 lite")
CPU: Any = SimpleNamespace(platform="cpu")
GPU: Any = SimpleNamespace(platform="gpu")
FLOATS = (jax.ShapeDtypeStruct((2, 2), "float32"),)
HALVES = (*FLOATS, jax.ShapeDtypeStruct((2, 2), "bfloat16"))


class Traced:
    """Traced code whose compiler refuses options with a text, if one is given."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.given: list[Any] = []

    def compile(self, options: dict[str, str] | None = None) -> str:
        self.given.append(options)
        if options and self.refusal:
            raise jax.errors.JaxRuntimeError(self.refusal)
        return "compiled"


def compiled(traced: Any, device: Any, weights: Any = HALVES) -> Any:
    return compile_lowered(traced, compiler_options(device, weights))


def test_in_half_precision_a_tpu_gets_options() -> None:
    in_full, in_half = Traced(), Traced()
    assert compiled(in_full, TPU, FLOATS) == compiled(in_half, TPU) == "compiled"
    assert in_full.given == [None]
    assert in_half.given == [dict(compiler_options(TPU, HALVES))]
    assert compiler_options(TPU, HALVES) == compiler_options(V5P, HALVES) != {}
    assert not compiler_options(V6E, HALVES), "its compiler would not come to an end"
    in_eight_bits = (*FLOATS, jax.ShapeDtypeStruct((2, 2), "int8"))
    assert not compiler_options(TPU, in_eight_bits), "it computes in float32"
    assert compiler_options(CPU, in_eight_bits), "a CPU widens them"
    assert not compiler_options(CPU, FLOATS)
    assert not compiler_options(GPU, HALVES)


def test_a_compiler_without_an_option_compiles_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = next(iter(compiler_options(TPU, HALVES)))
    traced = Traced(f"INVALID_ARGUMENT: No such compile option: '{name}'")
    with caplog.at_level("WARNING"):
        assert compiled(traced, TPU) == "compiled"
    assert traced.given[1:] == [None]
    assert name in caplog.text


def test_other_errors_stay_errors() -> None:
    traced = Traced("RESOURCE_EXHAUSTED: no memory")
    with pytest.raises(jax.errors.JaxRuntimeError, match="no memory"):
        compiled(traced, TPU)
    assert len(traced.given) == 1
