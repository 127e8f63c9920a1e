"""LoRA: every form of file, merged as it says, and taken out again bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kandinsky_core.pipelines.shared.adapters import load_lora, unload_lora
from safetensors.numpy import save_file

from kandinsky_backend_kit.replaceable_weights import ReplaceableWeights
from kandinsky_cli.lora_option import lora_words
from kandinsky_core.checkpoints.lora import merged_weights, read_lora
from kandinsky_core.errors import CheckpointError, InvalidInputError
from tests.support.torch_archive import pickled_state, write_archive, write_torch_file

Arrays = dict[str, np.ndarray]
RNG = np.random.default_rng(11)
# Widths of a layer's input and output.
LAYERS = {
    "mid_block.attentions.0.to_q": (12, 12),
    "mid_block.attentions.0.to_out.0": (12, 12),
    "down_blocks.1.attentions.2.add_k_proj": (7, 12),
    "up_blocks.0.attentions.1.to_v": (12, 12),
}
RANK = 3
DOWN = {name: RNG.standard_normal((RANK, n), np.float32) for name, (n, _) in LAYERS.items()}
UP = {name: RNG.standard_normal((n, RANK), np.float32) for name, (_, n) in LAYERS.items()}


class Network(ReplaceableWeights):
    """Weights in a dict, in one dtype."""

    def __init__(self, weights: Arrays) -> None:
        super().__init__()
        self.weights = dict(weights)

    def read_weights(self, names: Any) -> Arrays:
        absent = [name for name in names if name not in self.weights]
        if absent:
            raise KeyError(*absent)
        return {name: self.weights[name].copy() for name in names}

    def _write_weights(self, values: Any) -> None:
        for name, array in values.items():
            self.weights[name] = np.asarray(array, self.weights[name].dtype)


def network(dtype: Any = np.float32) -> Network:
    rng = np.random.default_rng(5)
    weights = {
        f"{name}.weight": rng.standard_normal((n_out, n_in)).astype(dtype)
        for name, (n_in, n_out) in LAYERS.items()
    }
    return Network({**weights, "conv_in.weight": rng.standard_normal((4, 3, 3, 3)).astype(dtype)})


def processor(name: str) -> tuple[str, str]:
    block, _, layer = name.removesuffix(".0").rpartition(".")
    return (
        f"{block}.processor.{layer}_lora.down.weight",
        f"{block}.processor.{layer}_lora.up.weight",
    )


FORMS: dict[str, Callable[[str], tuple[str, str]]] = {
    "processor": processor,
    "layer": lambda name: (f"{name}.lora.down.weight", f"{name}.lora.up.weight"),
    "old layer": lambda name: (
        f"{name.removesuffix('.0')}.lora_linear_layer.down.weight",
        f"{name.removesuffix('.0')}.lora_linear_layer.up.weight",
    ),
    "peft": lambda name: (f"{name}.lora_A.weight", f"{name}.lora_B.weight"),
    "peft default": lambda name: (
        f"{name}.lora_A.default.weight",
        f"{name}.lora_B.default.weight",
    ),
}


def arrays(form: str = "processor", prefix: str = "") -> Arrays:
    made = {}
    for name in LAYERS:
        down, up = FORMS[form](name)
        made[prefix + down], made[prefix + up] = DOWN[name], UP[name]
    return made


def save(path: Path, content: Arrays, metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_file(content, path, metadata)
    return path


def expected(weights: Arrays, weight: float) -> Arrays:
    """Merged in double precision, layer by layer."""
    merged = dict(weights)
    for name in LAYERS:
        change = UP[name].astype(np.float64) @ DOWN[name].astype(np.float64)
        merged[f"{name}.weight"] = weights[f"{name}.weight"] + weight * change
    return merged


@pytest.mark.parametrize("prefix", ["", "unet.", "base_model.model.", "unet.base_model.model."])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_weights(tmp_path: Path, form: str, prefix: str) -> None:
    net = network()
    before = dict(net.weights)
    path = save(tmp_path / "a.safetensors", arrays(form, prefix))
    load_lora({"movq": network(), "unet": net}, path, 0.7)
    for name, array in expected(before, 0.7).items():
        np.testing.assert_allclose(net.weights[name], array, rtol=1e-5, atol=1e-5)
    assert np.array_equal(net.weights["conv_in.weight"], before["conv_in.weight"])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_taken_out_bit_for_bit_even_several(tmp_path: Path, dtype: Any) -> None:
    net = network(dtype)
    before = {name: array.tobytes() for name, array in net.weights.items()}
    path = save(tmp_path / "a.safetensors", arrays())
    for weight in (1.0, 1e3, -0.3):
        load_lora({"unet": net}, path, weight)
    assert {name: array.tobytes() for name, array in net.weights.items()} != before
    unload_lora({"unet": net})
    assert {name: array.tobytes() for name, array in net.weights.items()} == before
    unload_lora({"unet": net})  # there is nothing left to take out
    load_lora({"unet": net}, path, 1)
    unload_lora({"unet": net})
    assert {name: array.tobytes() for name, array in net.weights.items()} == before


def test_several_add_up(tmp_path: Path) -> None:
    net, twice = network(), network()
    path = save(tmp_path / "a.safetensors", arrays())
    load_lora({"unet": net}, path, 0.5)
    load_lora({"unet": net}, path, 0.25)
    load_lora({"unet": twice}, path, 0.75)
    for name, array in twice.weights.items():
        np.testing.assert_allclose(net.weights[name], array, rtol=1e-5, atol=1e-5)


def test_files_without_the_text_projections_and_folders(tmp_path: Path) -> None:
    """diffusers 0.21 to 0.29 saved none of add_k_proj and add_v_proj."""
    content = {name: array for name, array in arrays().items() if "add_k" not in name}
    save(tmp_path / "run" / "pytorch_lora_weights.safetensors", content)
    found = read_lora(tmp_path / "run")
    assert set(found) == {f"{name}.weight" for name in LAYERS if "add_k" not in name}


def test_pickled_files_are_read_safely(tmp_path: Path) -> None:
    path = write_torch_file(tmp_path / "pytorch_lora_weights.bin", arrays())
    found = read_lora(path)
    for name in LAYERS:
        assert np.array_equal(found[f"{name}.weight"].down, DOWN[name])


def test_alpha_scales(tmp_path: Path) -> None:
    content = arrays("layer")
    content["mid_block.attentions.0.to_q.alpha"] = np.array(1.5, np.float32)
    found = read_lora(save(tmp_path / "a.safetensors", content))
    assert found["mid_block.attentions.0.to_q.weight"].scale == 1.5 / RANK
    assert found["up_blocks.0.attentions.1.to_v.weight"].scale == 1


def test_settings_of_peft_and_diffusers_scale(tmp_path: Path) -> None:
    settings = {"r": RANK, "lora_alpha": 12, "rank_pattern": {}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    path = save(tmp_path / "adapter_model.safetensors", arrays("peft", "base_model.model."))
    assert {adapter.scale for adapter in read_lora(path).values()} == {4}
    inside = {"lora_adapter_metadata": json.dumps({f"unet.{k}": v for k, v in settings.items()})}
    path = save(tmp_path / "b.safetensors", arrays("peft", "unet."), inside)
    assert {adapter.scale for adapter in read_lora(path).values()} == {4}
    settings["rank_pattern"] = {"to_q": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="of its own for each layer"):
        read_lora(tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="settings that cannot be read"):
        read_lora(tmp_path / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"r": 0}, "r is 0"),
        ({"r": -1}, "r is -1"),
        ({"r": 3.0}, r"r is 3\.0"),
        ({"r": True}, "r is True"),
        ({"r": 4}, "has rank 3, and the file's settings say 4"),
        ({"r": None}, "r is None"),
        ({"lora_alpha": "12"}, "lora_alpha is '12'"),
        ({"lora_alpha": True}, "lora_alpha is True"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": 1e300}, r"lora_alpha is 1e\+300"),
        ({"lora_alpha": 10**400}, "lora_alpha is 1000"),
        ({"use_rslora": "no"}, "use_rslora is 'no'"),
        ({"unet.r": 2}, "two values of r"),
    ],
)
def test_settings_have_types(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    settings = {"r": RANK, "lora_alpha": 12} | change
    inside = {"lora_adapter_metadata": json.dumps(settings)}
    path = save(tmp_path / "a.safetensors", arrays("peft"), inside)
    with pytest.raises(CheckpointError, match=said):
        read_lora(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "[" * 100_000, '{"r": 3}', '{"lora_alpha": 1}'])
def test_settings_that_are_none(tmp_path: Path, text: str) -> None:
    path = save(tmp_path / "a.safetensors", arrays("peft"), {"lora_adapter_metadata": text})
    with pytest.raises(CheckpointError, match="settings that cannot be read"):
        read_lora(path)


@pytest.mark.parametrize(
    ("layer", "array", "said"),
    [
        ("to_q.alpha", np.array(np.nan, np.float32), "no finite number"),
        ("to_q.alpha", np.array(1e300), "no finite number"),
        ("to_q.alpha", np.ones(2, np.float32), "no finite number"),
        ("to_q.alpha", np.zeros(0, np.float32), "no finite number"),
        ("to_q.alpha", np.array(True), "no finite number"),
        ("to_q.lora.down.weight", np.ones((3, 12), np.int8), "is I8"),
        ("to_q.lora.down.weight", np.ones((3, 12), bool), "is BOOL"),
        ("to_q.lora.down.weight", np.full((3, 12), 1e300), "NaN or infinity in float32"),
        ("to_q.lora.down.weight", np.ones((0, 12), np.float32), r"is no matrix.*\[0, 12\]"),
        ("to_q.lora.up.weight", np.ones((0, 3), np.float32), r"is no matrix.*\[0, 3\]"),
        ("to_q.lora.up.weight", np.ones((12, 2), np.float32), "ranks 3 and 2"),
        ("to_q.lora.up.weight", np.ones((), np.float32), r"is no matrix.*\[\]"),
    ],
)
def test_matrices_have_types(tmp_path: Path, layer: str, array: Any, said: str) -> None:
    content = arrays("layer") | {f"mid_block.attentions.0.{layer}": array}
    with pytest.raises(CheckpointError, match=said):
        read_lora(save(tmp_path / "a.safetensors", content))


def test_an_alpha_that_is_no_tensor_is_not_overlooked(tmp_path: Path) -> None:
    """Without it the layer's scale would be another one."""
    pickled = pickled_state(arrays("layer"))
    alpha = b"X\x0e\0\0\0mid.to_q.alphaK\x08"
    values = {str(i): array.tobytes() for i, array in enumerate(arrays("layer").values())}
    path = write_archive(tmp_path / "a.bin", pickled.replace(b"(", b"(" + alpha, 1), values)
    with pytest.raises(CheckpointError, match=r"mid.to_q.alpha \(no tensor\)"):
        read_lora(path)


def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    content = {name: array * np.float32(1e30) for name, array in arrays().items()}
    found = read_lora(save(tmp_path / "a.safetensors", content))
    with pytest.raises(CheckpointError, match="gives infinity in "):
        merged_weights(found, 1, network().read_weights)


def test_a_lora_of_the_prior_goes_there(tmp_path: Path) -> None:
    name = "transformer_blocks.3.attn1.to_out.0"
    prior = Network({f"{name}.weight": np.zeros((4, 4), np.float32)})
    content = {
        "transformer_blocks.3.attn1.processor.to_out_lora.down.weight": np.ones((1, 4), np.float32),
        "transformer_blocks.3.attn1.processor.to_out_lora.up.weight": np.ones((4, 1), np.float32),
    }
    path = save(tmp_path / "a.safetensors", content)
    load_lora({"unet": network(), "prior_prior": prior}, path, 2)
    assert np.array_equal(prior.weights[f"{name}.weight"], np.full((4, 4), 2))
    with pytest.raises(
        CheckpointError, match="is a LoRA for the prior, and this pipeline has unet"
    ):
        load_lora({"unet": network()}, path, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text_model.x.weight": np.ones((2, 2))}, r"1 tensors do not belong .*text_model.x"),
        (
            {"mid_block.attentions.0.to_q.lora.down.weight": np.ones((3, 12))},
            "a second mid_block.attentions.0.to_q down",
        ),
        ({"x.to_q.lora.down.weight": np.ones((3, 12))}, "layer x.to_q has no up"),
        ({"mid_block.attentions.0.processor.to_q_lora.up.weight": None}, "has no up"),
        (
            {"mid_block.attentions.0.processor.to_q_lora.up.weight": np.full((12, 3), np.nan)},
            "holds NaN",
        ),
        (
            {"mid_block.attentions.0.processor.to_q_lora.up.weight": np.ones((11, 3))},
            r"1 layers have other shapes \(mid_block.attentions.0.to_q.weight \[12, 12\]\)",
        ),
        (
            {"mid_block.attentions.0.processor.to_q_lora.up.weight": np.ones(36)},
            r"is no matrix: its shape is \[36\]",
        ),
        (
            {
                "other.processor.to_q_lora.up.weight": np.ones((2, 1)),
                "other.processor.to_q_lora.down.weight": np.ones((1, 2)),
            },
            r"changes 1 weights that the unet does not have \(other.to_q.weight\)",
        ),
        (
            {"mid_block.attentions.0.to_q.lora_magnitude_vector": np.ones(12)},
            "do not belong",
        ),
    ],
)
def test_files_that_do_not_fit_change_nothing(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    net = network()
    before = dict(net.weights)
    content = {
        name: array.astype(np.float32)
        for name, array in {**arrays(), **change}.items()
        if array is not None
    }
    with pytest.raises(CheckpointError, match=said) as caught:
        load_lora({"unet": net}, save(tmp_path / "a.safetensors", content), 1)
    assert "\n" not in str(caught.value)
    assert all(net.weights[name] is array for name, array in before.items())


def test_missing_files_and_wrong_weights(tmp_path: Path) -> None:
    nets: Any = {"unet": network()}
    with pytest.raises(InvalidInputError, match="there is no such file"):
        load_lora(nets, tmp_path / "none.safetensors", 1)
    with pytest.raises(InvalidInputError, match="holds no LoRA"):
        load_lora(nets, tmp_path, 1)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InvalidInputError, match=r"is a .safetensors or .bin file"):
        load_lora(nets, tmp_path / "a.txt", 1)
    path = save(tmp_path / "a.safetensors", arrays())
    for weight in ("1", None, float("nan")):
        with pytest.raises(InvalidInputError, match="weight"):
            load_lora(nets, path, weight)


def test_convolutions_merge_too() -> None:
    from kandinsky_core.checkpoints.lora import Adapter

    weight = np.zeros((5, 4, 3, 3), np.float32)
    down = RNG.standard_normal((2, 4, 3, 3), np.float32)
    up = RNG.standard_normal((5, 2, 1, 1), np.float32)
    merged = merged_weights({"w": Adapter(down, up, 0.5)}, 2, lambda _: {"w": weight})["w"]
    np.testing.assert_allclose(merged, np.einsum("or,rihw->oihw", up[..., 0, 0], down), rtol=1e-5)


def test_words_of_the_command_line(tmp_path: Path) -> None:
    odd = tmp_path / "a:3"
    odd.touch()
    assert lora_words(None) == []
    assert lora_words("a.safetensors") == [("a.safetensors", 1)]
    assert lora_words("a:0.5,b , c:-2") == [("a", 0.5), ("b", 1), ("c", -2)]
    assert lora_words(str(odd)) == [(str(odd), 1)]
    for text in ("a:b", "", ":1", "a,,b"):
        with pytest.raises(InvalidInputError, match="--lora"):
            lora_words(text)
