"""LoRA in a small model, on each backend: the picture changes, and changes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kandinsky_core import KandinskyV22Pipeline
from kandinsky_core.arrays import Array
from kandinsky_core.checkpoints.checkpoint import Checkpoint
from kandinsky_core.checkpoints.lora import read_lora
from tests.support import kandinsky2_0
from tests.support.backends import BACKENDS, needs
from tests.support.tolerances import allowed


@pytest.fixture(scope="session")
def decoder(shallow: Path) -> Path:
    return shallow / "decoder"


def lora(path: Path, decoder: Path) -> Path:
    """Of all attention layers, in the form that diffusers' example trains."""
    rng = np.random.default_rng(1)
    stored = Checkpoint.open(decoder).components["unet"].tensors()
    content = {}
    for name in stored.names():
        block, _, layer = name.removesuffix(".weight").removesuffix(".0").rpartition(".")
        if layer in ("to_q", "to_k", "to_v", "to_out", "add_k_proj") and name.endswith("weight"):
            n_out, n_in = stored.spec(name)[0]
            for part, shape in (("down", (4, n_in)), ("up", (n_out, 4))):
                values = rng.standard_normal(shape, np.float32) * np.float32(0.3)
                content[f"{block}.processor.{layer}_lora.{part}.weight"] = values
    save_file(content, path)
    return path


def picture(pipeline: Any) -> Array:
    embeds = np.random.default_rng(2).standard_normal(
        (1, pipeline.unet.config.encoder_hid_dim), np.float32
    )
    images: Array = pipeline(
        image_embeds=embeds,
        negative_image_embeds=-embeds,
        height=32,
        width=32,
        num_inference_steps=2,
        seed=1,
        output_type="np",
    ).images
    return images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        pytest.param("jax", "float32", marks=needs("jax")),
        pytest.param("mindspore", "float16", marks=needs("mindspore")),
    ],
)
def test_merged_and_taken_out(tmp_path: Path, decoder: Path, backend: str, dtype: str) -> None:
    path = lora(tmp_path / "a.safetensors", decoder)
    pipeline: Any = KandinskyV22Pipeline.from_pretrained(decoder, backend=backend, dtype=dtype)
    names = list(pipeline.unet.read_weights(["mid_block.attentions.0.to_q.weight"]))
    before = picture(pipeline)
    weights = pipeline.unet.read_weights(names)
    pipeline.load_lora_weights(path, weight=0.5)
    changed = picture(pipeline)
    assert np.abs(changed - before).max() > 0.02
    assert pipeline.lora_facts == {"lora": f"{path}:0.5"}
    pipeline.load_lora_weights(path, weight=0.25)
    pipeline.unload_lora_weights()
    assert pipeline.lora_facts == {}
    for name, array in pipeline.unet.read_weights(names).items():
        assert array.tobytes() == weights[name].tobytes()
    np.testing.assert_array_equal(picture(pipeline), before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_are_read_and_replaced_in_pytorch_layout(decoder: Path, backend: str) -> None:
    """Of a convolution, a matrix, a norm and a bias, which differ in layout between backends."""
    from kandinsky_core import get_backend

    component = Checkpoint.open(decoder).components["unet"]
    unet: Any = get_backend(backend).load(component, "float32")
    stored = component.tensors()
    names = [
        "conv_in.weight",
        "conv_in.bias",
        "conv_norm_out.weight",
        "time_embedding.linear_1.weight",
    ]
    for name, array in unet.read_weights(names).items():
        np.testing.assert_array_equal(array, stored.read(name))
    rng = np.random.default_rng(3)
    new = {name: rng.standard_normal(stored.spec(name)[0], np.float32) for name in names}
    unet.update_weights(new)
    for name, array in unet.read_weights(names).items():
        np.testing.assert_array_equal(array, new[name])
    with pytest.raises(KeyError, match=r"no\.such"):
        unet.update_weights({"no.such": np.zeros(1)})
    with pytest.raises(ValueError, match=r"conv_in.bias is"):
        unet.update_weights({"conv_in.bias": np.zeros(3)})
    unet.restore_weights()
    for name, array in unet.read_weights(names).items():
        np.testing.assert_array_equal(array, stored.read(name))


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize("backend", BACKENDS)
def test_adapters_are_sums_of_the_first_weights(
    tmp_path: Path, decoder: Path, backend: str
) -> None:
    """Chosen forth and back, cast to half precision, unloaded: the bits are those of the choice."""
    from kandinsky_core import get_backend

    path = lora(tmp_path / "a.safetensors", decoder)
    component = Checkpoint.open(decoder).components["unet"]
    unet: Any = get_backend(backend).load(component, "float32")
    stored = component.tensors()
    adapters = read_lora(path)

    def bits() -> dict[str, bytes]:
        return {name: array.tobytes() for name, array in unet.read_weights(adapters).items()}

    first = bits()
    found, _ = KandinskyV22Pipeline.lora_state_dict(path)
    unet.load_attn_procs(path, adapter_name="a")
    unet.load_lora_adapter(
        {f"unet.{name}": array for name, array in found.items()}, "unet", adapter_name="b"
    )
    unet.set_adapters(["a", "b"], [0.5, 0.25])
    chosen = bits()
    for name, array in unet.read_weights(adapters).items():
        change = adapters[name].change(array.shape)
        assert change is not None
        limit = allowed("sums of lora")
        wanted = stored.read(name) + 0.75 * change
        np.testing.assert_allclose(array, wanted, rtol=limit, atol=limit)
    unet.set_adapters("b", -3)
    unet.set_adapters(["b", "a"], [0.25, 0.5])
    assert bits() == chosen != first
    unet.fuse_lora()
    unet.to(dtype="float16")
    unet.unfuse_lora()
    unet.set_adapters("a", 0)
    for name, array in unet.read_weights(adapters).items():
        np.testing.assert_array_equal(array, stored.read(name).astype(np.float16))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_matrix_of_kandinsky_2_0(backend: str) -> None:
    """Those of attention and of the two heads that read texts, which diffusers does not have."""
    from kandinsky_core import get_backend

    unet: Any = get_backend(backend).load(kandinsky2_0.source("unet"), "float32")
    first = kandinsky2_0.tensors_of("unet")
    matrices = {name: array for name, array in first.items() if array.ndim == 2}
    assert sum(name.startswith(("add_embedding", "encoder_hid_proj")) for name in matrices) == 7
    rng, pairs, wanted = np.random.default_rng(5), {}, {}
    for name, array in matrices.items():
        down, up = (
            rng.standard_normal(n, np.float32) for n in ((2, array.shape[1]), (len(array), 2))
        )
        layer = f"unet.{name.removesuffix('.weight')}"
        pairs |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
        wanted[name] = array + np.float32(0.7) * up @ down
    unet.load_lora_adapter(pairs, "unet", adapter_name="a")
    unet.set_adapters("a", 0.7)
    limit = allowed("sums of lora")
    for name, array in unet.read_weights(matrices).items():
        np.testing.assert_allclose(array, wanted[name], rtol=limit, atol=limit)
    unet.unload_lora()
    for name, array in unet.read_weights(matrices).items():
        np.testing.assert_array_equal(array, matrices[name])
