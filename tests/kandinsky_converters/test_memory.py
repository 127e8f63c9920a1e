"""Converting holds a tensor, loading those under way; full size: `benchmarks`."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_converters.convert import convert
from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_converters.writers import write_safetensors
from kandinsky_core import get_backend
from kandinsky_core.checkpoints.checkpoint import Component

MIB = 2**20
CONFIG = {
    "_class_name": "PriorTransformer",
    "attention_head_dim": 64,
    "embedding_dim": 512,
    "num_attention_heads": 8,
    "num_embeddings": 77,
    "num_layers": 8,
}
BASE = 3 * MIB  # names, headers, reports


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior of 110 MiB whose largest tensors have 4."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "prior").mkdir()
    (folder / "prior" / "config.json").write_text(json.dumps(CONFIG))
    report = {"components": {"prior": {"class": CONFIG["_class_name"]}}}
    (folder / "conversion.json").write_text(json.dumps(report))
    shapes = expected_tensors("PriorTransformer", CONFIG)
    rng = np.random.default_rng(0)
    write_safetensors(
        folder / "prior" / "diffusion_pytorch_model.safetensors",
        {name: (shape, "F32") for name, shape in shapes.items()},
        lambda name: rng.random(shapes[name], np.float32),
        {"format": "pt"},
    )
    assert sum(4 * np.prod(shape) for shape in shapes.values()) > 100 * MIB
    assert max(4 * np.prod(shape) for shape in shapes.values()) == 4 * MIB
    return folder


def peak(run: Any) -> int:
    """Bytes that Python and NumPy allocate at most; windows into files do not count."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("target", "dtype", "allowed"),
    [
        ("diffusers", None, 0),
        ("mindspore", None, 0),
        ("jax", None, 4 * MIB),
        ("jax", "bfloat16", 2 * MIB),
    ],
)
def test_a_conversion_holds_what_it_transposes_or_casts(
    source: Path, tmp_path: Path, target: str, dtype: str | None, allowed: int
) -> None:
    assert peak(lambda: convert(source, target, tmp_path / "out", dtype=dtype)) < allowed + BASE


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 0), ("bfloat16", 2 * 2 * MIB)])
def test_loading_for_jax_holds_what_it_casts(
    source: Path, dtype: str, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor for each thread. XLA's own memory is not seen here, and holds the weights once."""
    pytest.importorskip("jax")
    monkeypatch.setattr("kandinsky_converters.layouts.ahead.usable_cores", lambda: 2)
    backend: Any = get_backend("jax")
    component = Component("prior", "diffusers", "PriorTransformer", source / "prior")
    backend.load(component, dtype, "cpu")  # what is imported and traced once
    # Biases and tables, which JAX would keep as they are, are copied.
    copied = 4 * (81 * 512 + 512 * 8 * 12 + 2048 * 8)
    assert peak(lambda: backend.load(component, dtype, "cpu")) < allowed + copied + 2 * BASE
