"""LoRA: every form of file, merged as it says, and taken out again bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kandinsky_core.checkpoints.lora import Adapter, merged_weights, read_lora
from kandinsky_core.checkpoints.lora_names import LoraNames
from kandinsky_core.errors import CheckpointError, InvalidInputError
from tests.support.lora_arrays import (
    DOWN,
    FORMS,
    LAYERS,
    RANK,
    RNG,
    UP,
    Arrays,
    Network,
    Pipe,
    arrays,
    network,
    save,
)
from tests.support.torch_archive import pickled_state, write_archive, write_torch_file


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
    Pipe(movq=network(), unet=net).load_lora_weights(path, weight=0.7)
    for name, array in expected(before, 0.7).items():
        np.testing.assert_allclose(net.weights[name], array, rtol=1e-5, atol=1e-5)
    assert np.array_equal(net.weights["conv_in.weight"], before["conv_in.weight"])


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
        ({"use_dora": True}, "that it is a DoRA"),
        ({"lora_bias": True}, "an adapter with biases"),
        ({"rank_pattern": {"(a+)+$": 3}}, "not by regular expressions"),
        ({"rank_pattern": [1]}, "is list, and is an object"),
        ({"alpha_pattern": {"to_q": "x"}}, "is a finite number"),
        ({"r": 4}, "has rank 3, and the file's settings say 4"),
        ({"r": None}, "r is None"),
        ({"lora_alpha": "12"}, "lora_alpha is '12'"),
        ({"lora_alpha": True}, "lora_alpha is True"),
        ({"lora_alpha": float("nan")}, "NaN, which is no finite number"),
        ({"lora_alpha": 1e300}, r"lora_alpha is 1e\+300"),
        ({"lora_alpha": 10**400}, "a number of 401 digits"),
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
        merged_weights([(found, 1)], network().read_weights)


def test_a_lora_of_the_prior_goes_there(tmp_path: Path) -> None:
    name = "transformer_blocks.3.attn1.to_out.0"
    prior = Network({f"{name}.weight": np.zeros((4, 4), np.float32)})
    content = {
        "transformer_blocks.3.attn1.processor.to_out_lora.down.weight": np.ones((1, 4), np.float32),
        "transformer_blocks.3.attn1.processor.to_out_lora.up.weight": np.ones((4, 1), np.float32),
    }
    path = save(tmp_path / "a.safetensors", content)
    Pipe(unet=network(), prior_prior=prior).load_lora_weights(path, weight=2)
    assert np.array_equal(prior.weights[f"{name}.weight"], np.full((4, 4), 2))
    with pytest.raises(
        CheckpointError, match="is a LoRA for the prior, and this pipeline has unet"
    ):
        Pipe(unet=network()).load_lora_weights(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x.weight": np.ones((2, 2))}, r"1 tensors do not belong .*x.weight"),
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
            r"changes 1 weights that this network does not have \(other.to_q.weight\)",
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
        Pipe(unet=net).load_lora_weights(save(tmp_path / "a.safetensors", content))
    assert "\n" not in str(caught.value)
    assert all(net.weights[name] is array for name, array in before.items())


def test_missing_files_and_wrong_weights(tmp_path: Path) -> None:
    pipe = Pipe(unet=network())
    with pytest.raises(InvalidInputError, match="there is no such file"):
        pipe.load_lora_weights(tmp_path / "none.safetensors")
    with pytest.raises(InvalidInputError, match="holds no LoRA"):
        pipe.load_lora_weights(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InvalidInputError, match=r"is a .safetensors or .bin file"):
        pipe.load_lora_weights(tmp_path / "a.txt")
    path = save(tmp_path / "a.safetensors", arrays())
    for weight in ("1", None, float("nan")):
        with pytest.raises(InvalidInputError, match="weight"):
            pipe.load_lora_weights(path, weight=weight)  # type: ignore[arg-type]


def test_ranks_and_alphas_of_single_layers(tmp_path: Path) -> None:
    """As PEFT stores them: by names, by their ends, with `^` before whole names."""
    settings = {
        "r": 2,
        "lora_alpha": 8,
        "rank_pattern": {"to_q": RANK, "^mid_block.attentions.0.to_out.0": RANK, r"to_v$": RANK},
        "alpha_pattern": {"^up_blocks\\.0\\.attentions\\.1\\.to_v": 6},
    }
    content = arrays("peft")
    name = "down_blocks.1.attentions.2.add_k_proj"
    content[f"{name}.lora_A.weight"] = content[f"{name}.lora_A.weight"][:2]
    content[f"{name}.lora_B.weight"] = content[f"{name}.lora_B.weight"][:, :2].copy()
    inside = {"lora_adapter_metadata": json.dumps(settings)}
    found = read_lora(save(tmp_path / "a.safetensors", content, inside))
    scales = [found[f"{layer}.weight"].scale for layer in LAYERS]
    assert scales == [8 / RANK, 8 / RANK, 4, 2]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("lora_unet_down_blocks_1_attentions_0_to_q", "down_blocks.1.attentions.0.to_q"),
        ("lora_unet_mid_block_attentions_0_to_out_0", "mid_block.attentions.0.to_out.0"),
        ("lora_unet_up_blocks_2_attentions_1_add_v_proj", "up_blocks.2.attentions.1.add_v_proj"),
        ("lora_prior_transformer_blocks_7_attn1_to_k", "transformer_blocks.7.attn1.to_k"),
        (
            "lora_unet_down_blocks_1_attentions_2_attention_to_out",
            "down_blocks.1.attentions.2.attention.to_out.0",
        ),
        ("lora_unet_add_time_condition_attention_to_v", "add_time_condition.attention.to_v"),
    ],
)
def test_names_of_kohya(name: str, layer: str) -> None:
    parts = {
        "down": f"{name}.lora_down.weight",
        "up": f"{name}.lora_up.weight",
        "alpha": f"{name}.alpha",
    }
    assert LoraNames.sort(parts.values()).layers == {layer: parts}


def test_unknown_names_of_kohya() -> None:
    names = ["lora_unet_conv_in.lora_down.weight", "lora_unet_x_attentions_0_to_q.alpha"]
    assert LoraNames.sort(names).unknown == names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mid_block.attentions.0.to_q.lora_magnitude_vector", "is a DoRA"),
        ("mid_block.attentions.0.to_q.lora_magnitude_vector.default.weight", "is a DoRA"),
        ("mid_block.attentions.0.to_q.dora_scale", "is a DoRA"),
        ("mid_block.attentions.0.to_q.lora_B.bias", "has biases"),
        ("mid_block.attentions.0.to_q.lora_B.default_0.bias", "has biases"),
        ("mid_block.attentions.0.to_q.lora.up.bias", "has biases"),
        ("text_encoder.layers.0.q_proj.lora_A.weight", "changes the text encoder too"),
        ("lora_te1_text_model_encoder_layers_0.lora_down.weight", "changes the text encoder"),
        ("mid_block.attentions.0.to_q.hada_w1_a", "is a LoHa"),
        ("mid.processor.to_k_custom_diffusion.weight", "is Custom Diffusion"),
    ],
)
def test_what_no_product_of_two_matrices_can_hold(tmp_path: Path, name: str, said: str) -> None:
    content = arrays("peft") | {name: np.ones((2, 2), np.float32)}
    with pytest.raises(CheckpointError, match=f"{said}.*{name}"):
        read_lora(save(tmp_path / "a.safetensors", content))


def test_convolutions_merge_too() -> None:
    weight = np.zeros((5, 4, 3, 3), np.float32)
    down = RNG.standard_normal((2, 4, 3, 3), np.float32)
    up = RNG.standard_normal((5, 2, 1, 1), np.float32)
    merged = merged_weights([({"w": Adapter(down, up, 0.5)}, 2)], lambda _: {"w": weight})["w"]
    np.testing.assert_allclose(merged, np.einsum("or,rihw->oihw", up[..., 0, 0], down), rtol=1e-5)
