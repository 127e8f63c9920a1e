"""A merged LoRA gives what the low-rank branches give that it was trained as.

The branches are written as hooks on diffusers' layers: y = W x + s * up(down(x)). Measured relative
error 5e-7.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kandinsky_core.checkpoints.lora import merged_weights, read_lora
from tests.parity import tiny
from tests.support.tolerances import allowed

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

RANK = 4
WEIGHT = 0.7


def branches(model: Any, layers: tuple[str, ...], path: Path) -> list[Any]:
    """Write a LoRA of a model in the processors' form, and hook it into the model's layers."""
    rng = np.random.default_rng(4)
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
            return output + WEIGHT * (low @ torch.from_numpy(pair[1]).T)

        hooks.append(layer.register_forward_hook(branch))
    save_file(content, path)
    return hooks


def merge(model: Any, path: Path) -> None:
    state = model.state_dict()

    def read(names: Any) -> dict[str, Any]:
        return {name: state[name].numpy() for name in names}

    for name, values in merged_weights([(read_lora(path), WEIGHT)], read).items():
        state[name].copy_(torch.from_numpy(values))


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
    merge(model, tmp_path / "a.safetensors")
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
    merge(model, tmp_path / "a.safetensors")
    assert tiny.relative_error(run(), branched) < allowed("merged lora")
    assert tiny.relative_error(plain, branched) > 0.01
