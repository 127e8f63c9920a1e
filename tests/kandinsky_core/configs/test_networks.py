"""The table of networks, and that nobody who keys a table by it lacks an entry."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from kandinsky_converters.inventory.expected import INVENTORIES
from kandinsky_converters.manifests import manifests
from kandinsky_core.checkpoints.file_names import PICKLE_STEMS, SAFE_STEMS
from kandinsky_core.configs import NETWORKS
from kandinsky_core.configs.networks import tied_tensors, unused_tensors
from kandinsky_core.seam.dtypes import DTYPES

CONFIGS = {entry.config for entry in NETWORKS.values()}
# diffusers has no 2.0, no ControlNet of 3 and no upscaler.
NOT_IN_REFERENCE = {
    *("AutoencoderKL", "Kandinsky20UNet", "MT5EncoderModel"),
    *("Kandinsky3ControlNetModel", "KandinskySuperResUNet"),
}


@pytest.mark.parametrize(
    ("package", "module", "missing"),
    [
        ("jax", "kandinsky_jax.backend", set()),
        ("mindspore", "kandinsky_mindspore.backend", set()),
        ("diffusers", "kandinsky_reference.components", NOT_IN_REFERENCE),
    ],
)
def test_backends_cover_the_table(package: str, module: str, missing: set[str]) -> None:
    pytest.importorskip(package)
    if package == "mindspore":  # quietly
        importlib.import_module("kandinsky_mindspore.runtime").load_mindspore()
    classes: Mapping[Any, Any] = importlib.import_module(module).CLASSES
    assert set(classes) == CONFIGS - {NETWORKS[name].config for name in missing}


def test_the_inventory_covers_the_table() -> None:
    assert set(INVENTORIES) == CONFIGS


def test_every_published_network_is_in_the_table() -> None:
    assert {manifest.class_name for manifest in manifests()} == set(NETWORKS)


def test_entries_are_well_formed() -> None:
    assert set(SAFE_STEMS) == set(PICKLE_STEMS)
    for name, entry in NETWORKS.items():
        assert entry.class_name == name == entry.config.CLASS_NAME
        assert entry.library in SAFE_STEMS
        assert entry.dtype in (None, *DTYPES)
        assert {*entry.instead, *entry.instead.values()} <= set(DTYPES)


def test_other_classes_have_no_tensors_of_a_special_kind() -> None:
    assert unused_tensors("Net") == tied_tensors("Net") == {}
