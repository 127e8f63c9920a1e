"""Kernels for attention: which one is taken where, their numbers, and what no form ever holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402
from jax.experimental import pallas  # noqa: E402

from kandinsky_core import get_backend  # noqa: E402
from kandinsky_core.errors import InvalidInputError  # noqa: E402
from kandinsky_jax.layers import attention, attention_kernels  # noqa: E402
from kandinsky_jax.layers.attention import attend, attention_of  # noqa: E402
from kandinsky_jax.layers.attention_kernels import (  # noqa: E402
    _key_blocks,
    _query_rows,
    flash_attention,
    kernel_for,
    kernels_of,
)
from kandinsky_jax.layers.platforms import Target, tracing_for  # noqa: E402
from kandinsky_jax.placement.devices import compute_capability  # noqa: E402
from kandinsky_jax.placement.mesh import find_mesh  # noqa: E402
from kandinsky_jax.placement.mesh_place import OverMesh  # noqa: E402
from kandinsky_jax.weights.network_form import NetworkForm  # noqa: E402

HOPPER, TURING = Target("gpu", (9, 0)), Target("gpu", (7, 5))
TPU = Target("tpu")
DIVIDED = Target("tpu", whole=False)


def shaped(*shape: int, dtype: str = "bfloat16") -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def drawn(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def exact(query: Any, key: Any, value: Any, scale: float) -> np.ndarray:
    """Softmax in float64 of what the arrays hold."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.einsum("bqnd,bknd->bnqk", query, key) * scale
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bnqk,bknd->bqnd", weights, value)


def error(given: Any, reference: np.ndarray) -> float:
    difference = np.asarray(given, np.float64) - reference
    return float(np.linalg.norm(difference) / np.linalg.norm(reference))


def taken(target: Target | None, choice: str | None = None, **changes: Any) -> str:
    """The name of the kernel for the attention of 64 x 64 cells, with something changed."""
    asked = {"dtype": "bfloat16", "queries": 4096, "width": 64, "bias": None} | changes
    query = shaped(2, asked["queries"], 12, asked["width"], dtype=asked["dtype"])
    key = shaped(2, asked["queries"] + 32, 12, asked["width"], dtype=asked["dtype"])
    kernel: Any = kernel_for(target, query, key, bias=asked["bias"], scale=0.125, choice=choice)
    return "" if kernel is None else kernel.func.__name__


def test_a_gpu_takes_cudnn_where_it_fits() -> None:
    assert taken(HOPPER) == taken(HOPPER, "kernels") == taken(Target("gpu", (8, 0))) == "_by_cudnn"
    assert taken(HOPPER, dtype="float16") == taken(HOPPER, width=128) == "_by_cudnn"
    assert taken(HOPPER, queries=1024) == "_by_cudnn"
    for changes in (
        {"dtype": "float32"}, {"width": 60}, {"width": 136}, {"bias": shaped(2, 1, 1, 4128)}
    ):  # fmt: skip
        assert taken(HOPPER, "kernels", **changes) == "", changes
    assert taken(HOPPER, "plain") == taken(TURING) == taken(Target("gpu")) == ""
    assert taken(Target("gpu", (9, 0), whole=False)) == ""


def test_a_tpu_takes_the_flash_kernel_where_queries_are_many() -> None:
    assert taken(TPU) == taken(TPU, "kernels") == taken(TPU, dtype="float32") == "flash_attention"
    assert taken(TPU, queries=2304) == "flash_attention", "48 x 48 cells, of 768 pixels"
    assert taken(TPU, "plain") == taken(DIVIDED) == taken(DIVIDED, "kernels") == ""
    for changes in (
        {"queries": 1600}, {"dtype": "float16"}, {"bias": shaped(2, 1, 1, 4128)}
    ):  # fmt: skip
        assert taken(TPU, "kernels", **changes) == "", changes


def test_nothing_else_has_a_kernel() -> None:
    assert taken(None, "kernels") == taken(Target("cpu"), "kernels") == ""
    assert kernels_of(HOPPER) == kernels_of(TPU) == ""
    assert "none for a cpu" in kernels_of(Target("cpu"))
    assert "8.0" in kernels_of(TURING)
    assert "model axis" in kernels_of(DIVIDED)


def test_what_a_device_says_of_its_generation() -> None:
    said: Any = SimpleNamespace(compute_capability="12.1")
    assert compute_capability(said) == (12, 1)
    assert compute_capability(SimpleNamespace(compute_capability="gfx942")) is None  # type: ignore[arg-type]
    assert compute_capability(jax.devices("cpu")[0]) is None
    place = OverMesh(find_mesh("data=1,model=1"))
    assert place.target == place.batch(np.zeros((1, 4))).target == Target("cpu")


def test_a_choice_is_checked_before_anything_is_loaded() -> None:
    with pytest.raises(InvalidInputError, match="attention='fast': give one of None, 'kernels'"):
        get_backend("jax", attention="fast")
    backend: Any = get_backend("jax", attention="kernels")
    with pytest.raises(InvalidInputError, match="attention='kernels' on cpu: there are none"):
        backend.load(source(), "float32", "cpu")


def source() -> Any:
    from tests.support.small_networks import NETWORKS_BY_NAME

    small = NETWORKS_BY_NAME["clip text"]
    return SimpleNamespace(class_name=small.class_name, config=small.fields, tensors=None)


def test_a_choice_reaches_the_networks() -> None:
    from tests.support.small_networks import NETWORKS_BY_NAME

    config, path = NETWORKS_BY_NAME["clip text"].config, "kandinsky_jax.networks.clip_text"
    path += ":CLIPTextModelWithProjection"
    made: Any = NetworkForm(path, config, "float32", attention="plain").network_class()
    assert made.keywords == {"attend": attention_of("plain")}
    assert attention_of("plain").keywords == {"choice": "plain"}  # type: ignore[attr-defined]
    assert NetworkForm(path, config, "float32").network_class().__name__.startswith("CLIPText")


def test_cudnn_gets_the_arrays_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is at hand, so the call is recorded; it was not run."""
    calls: list[Any] = []

    def record(query: Any, key: Any, value: Any, **options: Any) -> Any:
        calls.append((query.shape, key.shape, value.shape, query.dtype.name, options))
        return query

    monkeypatch.setattr(jax.nn, "dot_product_attention", record)
    query, key = shaped(2, 1024, 12, 64), shaped(2, 1056, 12, 64)
    with tracing_for(HOPPER):
        out = jax.eval_shape(lambda query, key: attend(query, key, key), query, key)
    assert (out.shape, out.dtype) == (query.shape, jnp.bfloat16)
    options = {"scale": 0.125, "implementation": "cudnn"}
    assert calls == [(query.shape, key.shape, key.shape, "bfloat16", options)]


def test_cudnn_is_in_the_lowered_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX asks for the version of cuDNN while it traces, so one is told; nothing runs.

    There is no public way to lower the kernel without a GPU.
    """
    private = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    if not hasattr(private, "check_cudnn_version"):
        pytest.skip("this version of JAX asks for cuDNN in another way")
    monkeypatch.setattr(private, "check_cudnn_version", lambda: 91000)
    query, key = shaped(2, 1024, 12, 64), shaped(2, 1056, 12, 64)
    with tracing_for(HOPPER):
        traced = jax.jit(lambda query, key: attend(query, key, key)).trace(query, key)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "__cudnn$fmhaSoftmax" in text
    assert "dot_general" not in text


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize(
    ("dtype", "width", "keys", "allowed"),
    [
        ("float32", 64, 150, 1e-6),  # keys that fill up a block are masked
        ("float32", 136, 256, 1e-6),
        ("bfloat16", 64, 150, 3e-3),
    ],
)
def test_the_flash_kernel_is_attention(
    monkeypatch: pytest.MonkeyPatch, dtype: str, width: int, keys: int, allowed: float
) -> None:
    """Pallas' interpreter against `attend` and float64: several blocks of queries and of keys."""
    monkeypatch.setattr(attention_kernels, "QUERY_ROWS", (32,))
    monkeypatch.setattr(attention_kernels, "MOST_KEYS", 128)
    monkeypatch.setattr(attention_kernels, "BROUGHT_BYTES", 1)
    query, key, value = (
        jnp.asarray(drawn(seed, 1, tokens, 2, width), dtype)
        for seed, tokens in ((1, 48), (2, keys), (3, keys))
    )
    scale = width**-0.5
    # `force_tpu_interpret_mode` acts out memory and transfers too, in three times the time.
    monkeypatch.setattr(pallas, "pallas_call", partial(pallas.pallas_call, interpret=True))
    given = flash_attention(query, key, value, scale=scale)
    assert (given.shape, given.dtype) == (query.shape, query.dtype)
    reference = exact(query, key, value, scale)
    plain = error(attend(query, key, value), reference)
    assert error(given, reference) < allowed
    assert error(given, reference) < 2 * plain + 1e-7


def test_float32_is_multiplied_in_full_within_the_kernel() -> None:
    for dtype, highest in (("float32", True), ("bfloat16", False)):
        query = shaped(1, 256, 1, 128, dtype=dtype)
        text = str(jax.make_jaxpr(lambda x: flash_attention(x, x, x, scale=1.0))(query))
        assert text.count("dot_general[") == 2
        assert ("Precision.HIGHEST" in text) == highest


@pytest.mark.parametrize(
    ("keys", "width", "itemsize", "expected"),
    [
        (4128, 64, 2, (1408, 4224, 4224)),  # the UNet of 2.2 at 1024 px with its 32 tokens
        (9248, 64, 2, (640, 3200, 9600)),
        (16384, 512, 4, (512, 512, 16384)),
        (16400, 512, 4, (384, 384, 16512)),
        (100, 64, 2, (128, 128, 128)),
    ],
)
def test_blocks_of_keys(
    keys: int, width: int, itemsize: int, expected: tuple[int, int, int]
) -> None:
    block, brought, padded = found = _key_blocks(keys, width, itemsize)
    assert found == expected
    assert padded >= keys
    assert padded % brought == brought % block == block % 128 == 0
    assert brought * math.ceil(width / 128) * 128 * itemsize <= 3 * 2**19 or brought == block


@pytest.mark.parametrize(
    ("rows", "expected"), [(4096, 512), (2304, 384), (1764, 256), (16384, 512), (300, 300)]
)
def test_blocks_of_queries(rows: int, expected: int) -> None:
    assert _query_rows(rows) == expected


SHAPES = {
    "the UNet of 2.2 at 768 px": ((2, 2304, 12, 64), 2341, "bfloat16", False),
    "the UNet of 2.2 at 1024 px": ((2, 4096, 12, 64), 4133, "bfloat16", False),
    "the UNet of 2.2 at 2048 px": ((2, 16384, 12, 64), 16421, "bfloat16", False),
    "MoVQ at 1024 px": ((1, 16384, 1, 512), 16384, "float32", False),
    "MoVQ at 2048 px": ((1, 65536, 1, 512), 65537, "float32", False),
    "texts of Kandinsky 3 at 1024 px": ((2, 4096, 24, 64), 257, "bfloat16", True),
    "many small pictures": ((64, 256, 18, 64), 293, "bfloat16", False),
}
TARGETS = {
    "cpu": (Target("cpu"), None),
    "gpu": (TURING, None),
    "gpu with cuDNN": (HOPPER, None),
    "tpu": (TPU, "plain"),
    "tpu with kernels": (TPU, None),
    "a tpu of several": (DIVIDED, None),
}


def values(jaxpr: Any) -> Iterator[Any]:
    """All values of a traced program, those of loops too; what is in a kernel is on the chip."""
    for equation in jaxpr.eqns:
        yield from (variable.aval for variable in equation.outvars)
        if equation.primitive.name == "pallas_call":
            continue
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from values(inner)


@pytest.mark.parametrize("name", TARGETS)
def test_no_form_holds_more_scores_than_its_budget(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What ends in the number of keys is scores: no other axis has that length here."""
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda query, *_, **__: query)
    target, choice = TARGETS[name]
    budget = {"cpu": attention.MAX_NEAR_SCORES, "tpu": attention.MAX_CHIP_SCORES}
    for words, (shape, keys, dtype, biased) in SHAPES.items():
        query, key = shaped(*shape, dtype=dtype), shaped(shape[0], keys, *shape[2:], dtype=dtype)
        bias = shaped(shape[0], 1, 1, keys, dtype="float32") if biased else None
        with tracing_for(target):
            program = jax.make_jaxpr(
                lambda query, key, bias: attend(query, key, key, bias=bias, choice=choice)
            )(query, key, bias)
        few = shape[1] * keys < attention.HEAD_SCORES
        most = attention.MAX_SCORES if few else budget.get(target.platform, attention.MAX_SCORES)
        held = [math.prod(value.shape) for value in values(program.jaxpr) if ends(value, keys)]
        full = math.prod((*shape[:3], keys))
        assert max(held, default=0) <= min(most, full), (words, name)


def ends(value: Any, keys: int) -> bool:
    """Whether a value is an array of scores: [.., queries, keys] in floats."""
    shape = getattr(value, "shape", ())
    wide = len(shape) > 2 and shape[-1] == keys and shape[-2] > 1
    return wide and jnp.issubdtype(value.dtype, jnp.floating)
