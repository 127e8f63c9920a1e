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

TPU: Any = SimpleNamespace(platform="tpu")
CPU: Any = SimpleNamespace(platform="cpu")
FLOATS = (jax.ShapeDtypeStruct((2, 2), "float32"),)


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


def compiled(traced: Any, device: Any) -> Any:
    return compile_lowered(traced, compiler_options(device, FLOATS))


def test_of_floats_only_a_tpu_gets_options() -> None:
    for_cpu, for_tpu = Traced(), Traced()
    assert compiled(for_cpu, CPU) == compiled(for_tpu, TPU) == "compiled"
    assert for_cpu.given == [None]
    assert for_tpu.given == [dict(compiler_options(TPU, FLOATS))]
    assert compiler_options(TPU, FLOATS)


def test_a_compiler_without_an_option_compiles_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = next(iter(compiler_options(TPU, FLOATS)))
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
