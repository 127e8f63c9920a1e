"""Denoisers compiled by MindSpore: the same numbers, one compilation for each shape."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_core import AutoPipelineForText2Image, get_backend
from kandinsky_mindspore import create
from kandinsky_mindspore.runtime import load_mindspore

PROMPT = "a large red circle on a blue background"
# Compiled norms add in another order; both are as near to float64. Single pixels differ by 4e-5.
CLOSE = 1e-4


def load(model: Path, backend: Any) -> Any:
    pipe = AutoPipelineForText2Image.from_pretrained(model, backend=backend)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def eager(shallow: Path) -> Any:
    return load(shallow, create())


@pytest.fixture(scope="module")
def compiled(eager: Any, shallow: Path) -> Any:
    return load(shallow, get_backend("mindspore", compile=True))


def picture(pipe: Any, **options: Any) -> Any:
    request = {"seed": 3, "num_inference_steps": 2, "prior_num_inference_steps": 2} | options
    return pipe(PROMPT, output_type="np", **request).images


@pytest.mark.slow
def test_same_picture_and_one_compilation_for_each_shape(
    eager: Any, compiled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log = compiled.unet._log
    with caplog.at_level(logging.INFO, logger="kandinsky_core.compilations"):
        for options in ({}, {"seed": 4, "guidance_scale": 7.5, "num_inference_steps": 3}):
            difference = picture(compiled, **options) - picture(eager, **options)
            assert np.abs(difference).max() <= CLOSE
    assert [(entry.program, entry.shape) for entry in log] == [
        ("UNet2DConditionModel", "(2, 4, 16, 16)")
    ]
    # MindSpore's own logger may speak too, where a test imported it first.
    ours = [record.getMessage() for record in caplog.records if "kandinsky" in record.name]
    assert [message.split(" in ")[0] for message in ours] == [
        "compiled UNet2DConditionModel for shape (2, 4, 16, 16)"
    ]
    ahead = compiled.compile(guidance=False, negative_prompt=False)
    assert [entry.shape for entry in ahead] == ["(1, 4, 16, 16)"]
    picture(compiled, guidance_scale=1.0)
    assert log[1:] == ahead
    assert compiled.compile(guidance=(True, False)) == []


def test_without_it_nothing_is_compiled_ahead(eager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("it ran")

    monkeypatch.setattr(eager.prior_text_encoder, "encode", refuse)
    assert eager.compile(64, 64, guidance=(True, False)) == []


@pytest.mark.slow
def test_casts(eager: Any, compiled: Any) -> None:
    """In float16 MindSpore's compiler gives wrong numbers on a CPU: there it is not used."""
    count = len(compiled.unet._log)
    half = picture(eager.to("float16"))
    np.testing.assert_array_equal(picture(compiled.to("float16")), half)
    assert len(compiled.unet._log) == count
    for pipe in (eager, compiled):
        pipe.to("float32")
    assert np.abs(picture(compiled) - picture(eager)).max() <= CLOSE
    assert len(compiled.unet._log) == count + 1


def test_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not create().compile
    monkeypatch.setenv("KANDINSKY_MINDSPORE_COMPILE", "1")
    assert create().compile
    assert not create(compile=False).compile


@pytest.mark.slow
@pytest.mark.parametrize("size", [(2, 64, 24, 24), (1, 96, 640), (2, 64, 4, 4)])
def test_group_norms_of_graphs_are_exact(size: tuple[int, ...]) -> None:
    """Also where the mean is far from zero, which a sum of squares would not bear."""
    torch = pytest.importorskip("torch")
    ms = load_mindspore()
    from kandinsky_mindspore.cpu import cpu_graph_ops

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        return cpu_graph_ops.group_norm(x, 32, weight, bias, 1e-5)[0]

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, np.float32) for shape in (size, size[1:2], size[1:2])]
    arrays[0] += 1000
    ours = ms.jit(norm, jit_level="O0")(*map(ms.Tensor, arrays)).asnumpy()
    x, weight, bias = (torch.tensor(array).double() for array in arrays)
    wanted = torch.nn.functional.group_norm(x, 32, weight, bias).numpy()
    single = torch.nn.functional.group_norm(x.float(), 32, weight.float(), bias.float()).numpy()
    assert np.abs(ours - wanted).max() <= max(2 * np.abs(single - wanted).max(), 5e-6)
