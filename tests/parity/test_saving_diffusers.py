"""diffusers loads what is saved here, and what it saves loads here: all tensors are equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core import (
    AutoPipelineForText2Image,
    DiffusionPipeline,
    Generator,
    Kandinsky3Pipeline,
)
from tests.support.backends import needs
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = needs("jax")


@pytest.fixture(scope="module")
def backend(backend_of: Callable[[str], Any]) -> Any:
    """The backend of JAX."""
    return backend_of("jax")


def states(reference: Any, prefix: str = "") -> dict[str, dict[str, bytes]]:
    """The tensors of each network of a pipeline of diffusers, those that no pipeline uses too."""

    def content(value: Any) -> bytes:
        half = value.dtype == torch.bfloat16  # NumPy has no type for it
        return bytes((value.view(torch.int16) if half else value).numpy().tobytes())

    return {
        prefix + name: {key: content(value) for key, value in part.state_dict().items()}
        for name, part in reference.components.items()
        if isinstance(part, torch.nn.Module)
    }


def values(pipe: Any) -> dict[str, dict[str, bytes]]:
    return {
        name: {
            key: array.tobytes()
            for key, array in network.weights_now(network.weight_shapes()).items()
        }
        for name, network in pipe.networks.items()
    }


def picture(pipe: Any, generator: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        "a red circle",
        generator=generator.manual_seed(3),
        num_inference_steps=2,
        prior_num_inference_steps=2,
        height=64,
        width=64,
        output_type="np",
    )
    return made.images[0]


@pytest.mark.slow(seconds=12)
def test_both_halves_of_2_2(random_root: Path, backend: Any, tmp_path: Path) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained(
        random_root / "decoder", prior=random_root / "prior", backend=backend
    )
    pipe.save_pretrained(tmp_path / "ours", max_shard_size="100KB")
    reference = diffusers.AutoPipelineForText2Image.from_pretrained(tmp_path / "ours")
    assert type(reference).__name__ == type(pipe).__name__
    decoder = diffusers.DiffusionPipeline.from_pretrained(random_root / "decoder")
    prior = diffusers.DiffusionPipeline.from_pretrained(random_root / "prior")
    assert states(reference) == states(decoder) | states(prior, "prior_")
    expected = picture(reference, torch.Generator())
    error = np.abs(picture(pipe, Generator()) - expected).max()
    assert error <= allowed("picture")

    reference.save_pretrained(tmp_path / "theirs", variant="fp16", max_shard_size="100KB")
    for loaded in (DiffusionPipeline, AutoPipelineForText2Image):
        again = loaded.from_pretrained(tmp_path / "theirs", variant="fp16", backend=backend)
        assert type(again) is type(pipe)
        assert values(again) == values(pipe)


@pytest.mark.slow(seconds=10)
def test_both_halves_of_2_1_in_bfloat16(
    multilingual_root: Path, backend: Any, tmp_path: Path
) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained(
        multilingual_root / "decoder",
        prior=multilingual_root / "prior",
        backend=backend,
        dtype="bfloat16",
    )
    pipe.save_pretrained(tmp_path, variant="bf16")
    half = {"torch_dtype": torch.bfloat16}
    reference = diffusers.KandinskyCombinedPipeline.from_pretrained(
        tmp_path, variant="bf16", **half
    )
    decoder = diffusers.KandinskyPipeline.from_pretrained(multilingual_root / "decoder", **half)
    prior = diffusers.KandinskyPriorPipeline.from_pretrained(multilingual_root / "prior", **half)
    expected = states(decoder) | states(prior, "prior_")
    decoder.movq = diffusers.VQModel.from_pretrained(
        multilingual_root / "decoder", subfolder="movq"
    )
    reference.movq = diffusers.VQModel.from_pretrained(tmp_path, subfolder="movq", variant="bf16")
    # MoVQ computes in float32 here, and is saved so.
    assert states(reference) == expected | {"movq": states(decoder)["movq"]}


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize("loading", ["on_demand", "resident"])
def test_kandinsky3(backend: Any, tmp_path: Path, loading: str) -> None:
    from tests.parity.random_models_3 import save_kandinsky3

    model = save_kandinsky3(tmp_path / "model")
    pipe = Kandinsky3Pipeline.from_pretrained(model, backend=backend, text_encoder_loading=loading)
    pipe.save_pretrained(tmp_path / "ours", max_shard_size="100KB")
    first, second = (
        states(diffusers.DiffusionPipeline.from_pretrained(folder))
        for folder in (model, tmp_path / "ours")
    )
    assert first == second
