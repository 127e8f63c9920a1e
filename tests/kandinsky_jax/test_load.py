"""Filling JAX networks: every value in its place, casts, and refusals before reading."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from kandinsky_converters.layouts import ahead
from kandinsky_core.configs import PriorTransformerConfig, VQModelConfig
from kandinsky_core.errors import CheckpointError
from kandinsky_jax.weights.load import load_weights, rule_and_name
from tests.support.dict_tensors import DictTensors
from tests.support.jax_networks import expected_shapes, filled_network, form_of, torch_tensors

PRIOR = PriorTransformerConfig(
    num_attention_heads=2, attention_head_dim=4, num_layers=1, embedding_dim=6, num_embeddings=5
)
MOVQ = VQModelConfig(
    latent_channels=4,
    block_out_channels=(32, 64),
    down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    layers_per_block=1,
    norm_type="spatial",
)


def random_tensors(dtype: type | np.dtype = np.float32) -> DictTensors:
    generator = np.random.default_rng(5)
    return DictTensors(
        {
            name: generator.standard_normal(shape).astype(dtype)
            for name, shape in expected_shapes(PRIOR).items()
        }
    )


def test_there_and_back_is_bit_for_bit() -> None:
    tensors = random_tensors()
    network = filled_network(PRIOR, tensors)
    back = dict(torch_tensors(network))
    assert back.keys() == tensors.arrays.keys()
    for name, array in back.items():
        assert array.tobytes() == tensors.arrays[name].tobytes(), name


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("asked", ["float16", "bfloat16", "float32"])
def test_files_of_any_precision_are_cast_to_the_one_asked_for(
    stored: type, asked: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With threads too, which lend each other their memory."""
    monkeypatch.setattr(ahead, "_SMALL", 0)
    monkeypatch.setattr(ahead, "usable_cores", lambda: threads)
    tensors = random_tensors(stored)
    weights = load_weights(form_of(PRIOR, asked), tensors)
    assert {str(weight.dtype) for weight in weights.values()} == {asked}
    for native, weight in weights.items():
        rule, name = rule_and_name(native, weight.ndim)
        expected = tensors.arrays[name].astype(jnp.dtype(asked))
        assert np.array_equal(rule.to_torch(np.asarray(weight)), expected), name


def test_threads_put_a_callers_settings_of_jax_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_SMALL", 0)
    monkeypatch.setattr(ahead, "usable_cores", lambda: 2)
    jax.config.update("jax_transfer_guard", "disallow_explicit")
    try:
        assert load_weights(form_of(PRIOR, "bfloat16"), random_tensors())
    finally:
        jax.config.update("jax_transfer_guard", None)


def test_the_network_keeps_no_window_into_the_checkpoint() -> None:
    tensors = random_tensors()
    network = filled_network(PRIOR, tensors)
    before = np.array(network.positional_embedding[...])
    for array in tensors.arrays.values():
        array[...] = 0
    assert np.array_equal(np.asarray(network.positional_embedding[...]), before)


def test_a_checkpoint_that_does_not_fit_is_refused_before_it_is_read() -> None:
    tensors = random_tensors()
    del tensors.arrays["prd_embedding"]
    tensors.arrays["norm_in.weight"] = np.zeros(8, np.float32)
    tensors.arrays["proj_in.weight"] = np.zeros((6, 8), np.float32)  # transposed
    message = r"missing \(prd_embedding\).*unexpected \(norm_in.weight\).*\[6,8\] for \[8,6\]"
    with pytest.raises(CheckpointError, match=message):
        filled_network(PRIOR, tensors)
    assert tensors.reads == []


def test_legacy_names_and_the_unused_codebook_of_movq() -> None:
    generator = np.random.default_rng(6)
    modern = {
        name: generator.standard_normal(shape).astype(np.float32)
        for name, shape in expected_shapes(MOVQ).items()
    }
    old_names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    legacy = {"quantize.embedding.weight": np.zeros((256, 4), np.float32)}
    for name, array in modern.items():
        old = name
        for new_part, old_part in old_names.items():
            old = old.replace(f".{new_part}.", f".{old_part}.")
        legacy[old] = array
    assert any("proj_attn" in name for name in legacy)
    tensors = DictTensors(legacy)
    back = dict(torch_tensors(filled_network(MOVQ, tensors)))
    assert all(np.array_equal(back[name], array) for name, array in modern.items())
    assert "quantize.embedding.weight" not in tensors.reads
