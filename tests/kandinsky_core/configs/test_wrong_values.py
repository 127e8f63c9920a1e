"""Whatever a network's or a preprocessor's config holds, it is refused or it is valid."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import pytest

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core.configs import Kandinsky3UNetConfig, NetworkConfig, T5Config
from kandinsky_core.configs.preprocessor import preprocessor_config
from kandinsky_core.errors import ConfigError
from tests.support.published import CONFIG_CLASSES, published_json
from tests.support.wrong_values import WRONG_VALUES

T5: dict[str, Any] = {"feed_forward_proj": "gated-gelu"}
CASES = [
    *((cls, published_json(name)) for name, cls in CONFIG_CLASSES.items()),
    (Kandinsky3UNetConfig, {}),
    (T5Config, T5),
]
CLIP = {
    "crop_size": {"height": 224, "width": 224},
    "do_resize": True,
    "image_mean": [0.48, 0.45, 0.4],
    "image_std": [0.26, 0.26, 0.27],
    "resample": 3,
    "size": {"shortest_edge": 224},
}


@pytest.mark.parametrize(("cls", "published"), CASES)
def test_every_field_with_every_value(cls: type[NetworkConfig], published: dict[str, Any]) -> None:
    fields = {entry.name for entry in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in sorted({*published, *fields, *cls.FIXED, "_class_name", "unknown"}):
        for value in WRONG_VALUES:
            config = {**published, name: value}
            with suppress(ConfigError):
                cls.from_dict(config)
                assert (
                    len(expected_tensors(cls.CLASS_NAME, config)) < 10**6
                )  # no construction hangs


@pytest.mark.parametrize("value", [None, 3, "abc", ["a"], {1: 2}])
def test_a_config_that_is_no_object(value: Any) -> None:
    with pytest.raises(ConfigError):
        T5Config.from_dict(value)


def test_a_preprocessor_with_every_value() -> None:
    assert preprocessor_config(CLIP)["size"] == {"shortest_edge": 224}
    assert preprocessor_config({"size": 224, "feature_extractor_type": "x"})["size"] == 224
    for name in (*CLIP, "do_normalize"):
        for value in (*WRONG_VALUES, {"shortest_edge": "224"}, {"shortest_edge": 10**6}):
            with suppress(ConfigError):
                preprocessor_config({**CLIP, name: value})
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json: size is 'abc'; allowed"):
        preprocessor_config({**CLIP, "size": "abc"})
