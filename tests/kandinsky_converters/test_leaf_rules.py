"""Leaf rules: names, axes, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from kandinsky_converters.layouts.layouts import with_layout
from kandinsky_converters.layouts.leaf_rules import JAX_RULES
from kandinsky_core.errors import CheckpointError
from tests.support.dict_tensors import DictTensors


@pytest.mark.parametrize(
    ("leaf", "shape", "torch_leaf", "torch_shape"),
    [
        ("kernel", (3, 5, 7, 11), "weight", (11, 7, 3, 5)),  # HWIO, OIHW
        ("kernel", (7, 11), "weight", (11, 7)),
        ("bias", (11,), "bias", (11,)),
        ("scale", (11,), "weight", (11,)),
        ("embedding", (13, 11), "weight", (13, 11)),
        ("class_embedding", (11,), "class_embedding", (11,)),
        ("positional_embedding", (1, 13, 11), "positional_embedding", (1, 13, 11)),
        ("clip_mean", (1, 11), "clip_mean", (1, 11)),
    ],
)
def test_names_shapes_and_the_way_back(
    leaf: str, shape: tuple[int, ...], torch_leaf: str, torch_shape: tuple[int, ...]
) -> None:
    rule = JAX_RULES.rule_for(leaf, len(shape))
    assert rule.torch_leaf == torch_leaf
    assert rule.torch_shape(shape) == torch_shape
    tensor = np.random.default_rng(1).standard_normal(torch_shape).astype(np.float32)
    array = rule.to_backend(tensor)
    assert array.shape == shape
    assert rule.to_torch(array).tobytes() == tensor.tobytes()


def test_a_convolution_keeps_each_weight_in_its_place() -> None:
    tensor = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # out, in, height, width
    array = JAX_RULES.rule_for("kernel", 4).to_backend(tensor)
    assert array[3, 4, 2, 1] == tensor[1, 2, 3, 4]


def test_two_names_of_one_weight_are_refused() -> None:
    """One of them would be dropped, and no accounting would miss it."""
    both = DictTensors({"a.kernel": np.zeros((2, 3)), "a.scale": np.zeros(2)})
    both.layout = "jax"  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match=r"'a.kernel' and 'a.scale' are both 'a.weight'"):
        with_layout(both, "diffusers")
