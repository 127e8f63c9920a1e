"""All programs are lowered for an NVIDIA GPU that is not there, and no product is left in float32.

Factors in float32 would take a GPU eight times as long. A result in float32 costs nothing: sums are
in it anyway.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

from kandinsky_core.configs import NETWORKS  # noqa: E402
from kandinsky_core.seam.compilations import CompilationLog  # noqa: E402
from kandinsky_core.seam.compile_only import compile_only  # noqa: E402
from kandinsky_core.seam.dtypes import component_dtype  # noqa: E402
from kandinsky_jax.backend import CLASSES  # noqa: E402
from kandinsky_jax.layers.platforms import Target, tracing_for  # noqa: E402
from kandinsky_jax.placement.devices import default_device  # noqa: E402
from kandinsky_jax.placement.places import OneDevice  # noqa: E402
from kandinsky_jax.programs.program import Program  # noqa: E402
from kandinsky_jax.weights.network_form import NetworkForm  # noqa: E402
from tests.support.small_networks import NETWORKS_BY_NAME, SmallNetwork  # noqa: E402

# Whose networks compute in float32 by design, whatever is asked for: autoencoders always, and in
# float16 those that overflow it.
IN_FLOAT32 = {
    "bfloat16": {"movq", "2.0 vae"},
    "float16": {"movq", "2.0 vae", "2.0 text", "3 text"},
}
_PRODUCT = re.compile(
    r"stablehlo\.(?:dot_general|convolution|dot)\b.*: \((tensor<\S+), (tensor<\S+)\)"
)


def products(text: str) -> list[tuple[str, str, str]]:
    """The dtypes of both factors, and the line, of each product of a lowered program."""
    found = []
    for line in text.splitlines():
        if match := _PRODUCT.search(line):
            dtypes = [kind.rstrip(">").rpartition("x")[2] for kind in match.groups()]
            found.append((dtypes[0], dtypes[1], line.strip()[:300]))
    return found


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that networks would compile, lowered for `cuda` in place of the CPU here."""
    texts: list[str] = []
    target = Target("gpu")

    def make(self: Any, batch: Any, weights: Any, arguments: tuple[Any, ...]) -> tuple[Any, bool]:
        jitted = batch.jit(self._function, self._shared, self._donate)
        with tracing_for(target):
            traced = jitted.trace(weights, *arguments)
        made = traced.lower(lowering_platforms=("cuda",))
        texts.append(made.as_text())
        place = jax.sharding.SingleDeviceSharding(default_device())
        shardings = jax.tree.map(lambda _: place, made.out_info)
        return SimpleNamespace(out_info=made.out_info, output_shardings=shardings), False

    monkeypatch.setattr(Program, "_make", make)
    monkeypatch.setattr("kandinsky_jax.programs.program._size", lambda compiled: 0)
    return texts


def component(class_name: str, config: Any, dtype: str) -> Any:
    path, kind = CLASSES[type(config)]
    form = NetworkForm(path, config, component_dtype(class_name, dtype))
    place = OneDevice(default_device())
    return kind(form, form.abstract(), place=place, log=CompilationLog())


def call(network: SmallNetwork, dtype: str) -> None:
    with compile_only():
        made = component(network.class_name, network.config, dtype)
        if network.beside is not None:
            name = "Kandinsky3ControlNetModel"
            branch = NETWORKS[name].config.from_dict(dict(network.beside))
            made = component(name, branch, dtype).beside(made)
        network.call(made)


def test_no_class_is_missing() -> None:
    classes = {network.class_name for network in NETWORKS_BY_NAME.values()}
    assert classes | {"Kandinsky3ControlNetModel"} == {config.CLASS_NAME for config in CLASSES}


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_products_are_in_half_precision(dtype: str, lowered: list[str]) -> None:
    short = {"bfloat16": "bf16", "float16": "f16"}[dtype]
    wide: dict[str, list[str]] = {}
    for name, network in NETWORKS_BY_NAME.items():
        lowered.clear()
        call(network, dtype)
        found = [product for text in lowered for product in products(text)]
        assert len(found) > 4, name
        wide[name] = [line for first, second, line in found if {first, second} != {short}]
        if name in IN_FLOAT32[dtype]:
            assert len(wide.pop(name)) == len(found), name
    assert not any(wide.values()), {name: lines for name, lines in wide.items() if lines}


def test_the_check_sees_a_product_of_float32(lowered: list[str]) -> None:
    network = NETWORKS_BY_NAME["clip text"]
    call(network, "float32")
    (text,) = lowered
    assert {first for first, _, _ in products(text)} == {"f32"}
