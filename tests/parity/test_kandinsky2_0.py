"""Kandinsky 2.0 against numbers of the authors' own code: networks, loops, pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from kandinsky_core.arrays import Array
from tests.support.backends import BACKENDS
from tests.support.kandinsky2_0 import golden, source
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)
LOADED = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def network(backend_of: Callable[[str], Any]) -> Callable[[str, str], Any]:
    """Networks of both backends; each is loaded once."""
    return cache(lambda backend, name: backend_of(backend).load(source(name), "float32"))


def relative(found: Array, wanted: Array) -> float:
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def conditioning(**others: Array) -> dict[str, Array]:
    """The conditioning of the numbers, whose conditional row comes first."""
    text = golden("text")
    return {
        "text_embeds": text["pooled_emb1"],
        "text_encoder_hidden_states": text["full_emb1"],
        "text_encoder_hidden_states_2": text["full_emb2"],
        **others,
    }


@LOADED
def test_text_encoders(network: Callable[..., Any], backend: str) -> None:
    wanted = golden("text")
    first, second = (network(backend, name) for name in ("text_encoder", "text_encoder_2"))
    embeds, states = first.encode(wanted["ids1"], wanted["mask1"].astype(bool))
    others = second.encode(wanted["ids2"], wanted["mask2"].astype(bool))
    for found, name in ((embeds, "pooled_emb1"), (states, "full_emb1"), (others, "full_emb2")):
        error = relative(found, wanted[name])
        LOG.info("%s, %s: %.2g", backend, name, error)
        assert error <= allowed("2.0 text")


@LOADED
@pytest.mark.parametrize("name", ["unet", "inpaint"])
def test_unet(network: Callable[..., Any], backend: str, name: str) -> None:
    """Noise and variance; both rows have one timestep."""
    wanted = golden("unet" if name == "unet" else "unet_inpainting")
    others = {}
    if name == "inpaint":
        mask = wanted["mask_latent"]
        others["image_latents"] = np.concatenate([wanted["image_latent"] * mask, mask], axis=1)
    unet = network(backend, name)
    found = unet.output(wanted["x"], float(wanted["timesteps"][0]), conditioning(**others))
    error = relative(found, wanted["out"])
    LOG.info("%s, %s: %.2g", backend, name, error)
    assert error <= allowed("2.0 unet")


@LOADED
def test_autoencoder(network: Callable[..., Any], backend: str) -> None:
    wanted, vae = golden("vae"), network(backend, "vae")
    pixels = wanted["image_uint8"].transpose(2, 0, 1)[None] / np.float32(127.5) - 1
    mean, logvar = np.split(vae.encode(pixels.astype(np.float32)), 2, axis=1)
    decoded = vae.decode(wanted["latent"] / np.float32(0.0512))
    for found, name in ((mean, "mean"), (logvar, "logvar"), (decoded, "decoded")):
        error = relative(found, wanted[name])
        LOG.info("%s, %s: %.2g", backend, name, error)
        assert error <= allowed("2.0 vae")
