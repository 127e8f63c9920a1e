"""The networks of Kandinsky 2.1 against diffusers on random weights, on both backends.

Measured relative L2 errors in float32: text encoder 3e-7, CLIP 6e-7, UNet 2.5e-6 with a guidance of
1.5 and 1e-6 without; both backends alike.
`pytest --log-cli-level=INFO` shows what each test measures.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from kandinsky_core import get_backend  # noqa: E402
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.parity.random_models_2_1 import UNET, fast_tokenizer, multilingual_clip  # noqa: E402
from tests.support.backends import BACKENDS  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402
from tests.support.xlm_roberta_vocabulary import PROMPTS  # noqa: E402

LOG = logging.getLogger(__name__)

TOLERANCES = {
    "text": allowed("2.1 text"),
    "unet": allowed("2.1 unet"),
    "clip": allowed("2.1 clip"),
}
# A row under which the sample becomes the network's output.
OUTPUT = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
LENGTH = 77


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    return get_backend(request.param)


def loaded(backend: Any, model: Any) -> Any:
    tensors = tiny.tensors_of(model)
    source = SimpleNamespace(
        class_name=type(model).__name__, config=tiny.config_dict(model), tensors=lambda: tensors
    )
    return backend.load(source, "float32")


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def require(kind: str, got: Any, expected: Any) -> None:
    error = tiny.relative_error(got, expected)
    LOG.info("%s: relative L2 error %.2e, allowed %.2e", kind, error, TOLERANCES[kind])
    assert error <= TOLERANCES[kind]


def test_multilingual_text_encoder(backend: Any) -> None:
    """Texts of several lengths and scripts together, one of them empty."""
    tokenizer = fast_tokenizer()
    model = multilingual_clip(len(tokenizer))
    given = tokenizer(
        [*PROMPTS, ""],
        padding="max_length",
        max_length=LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    expected = model(given.input_ids, given.attention_mask)
    ids, mask = given.input_ids.numpy().astype(np.int32), given.attention_mask.numpy() > 0
    got = loaded(backend, model).encode(ids, mask)
    assert got[0].shape == (5, 32)
    assert got[1].shape == (5, LENGTH, 48)
    for mine, theirs in zip(got, expected, strict=True):
        require("text", mine, theirs)
    padding = ~mask
    # What the UNet sees of padding is compared too, and is no constant.
    require("text", got[1][padding], expected[1].numpy()[padding])
    assert got[1][padding].std(axis=0).min() > 1e-3


def test_bug_29_kept_padding_has_states_and_changes_nothing_else(backend: Any) -> None:
    """Its states reach the UNet; the tokens' states and the mean are as if it were not there."""
    model = multilingual_clip(60)
    network = loaded(backend, model)
    ids = np.full((1, LENGTH), 1, np.int32)
    ids[0, :4] = [0, 20, 30, 2]
    embeds, states = network.encode(ids, ids != 1)
    alone, short = network.encode(ids[:, :4], ids[:, :4] != 1)
    atol = allowed("2.1 padding")
    np.testing.assert_allclose(embeds, alone, atol=atol)
    np.testing.assert_allclose(states[:, :4], short, atol=atol)
    assert np.abs(states[:, 4:]).max() > 0.1
    np.testing.assert_allclose(states[:, 4:], np.repeat(states[:, 4:5], LENGTH - 4, 1), atol=atol)


@pytest.mark.parametrize("channels", [4, 9])
def test_unet_that_reads_text(backend: Any, channels: int) -> None:
    predictions(backend, UNET | {"in_channels": channels}, (1, 6, 10), 1.5)


@pytest.mark.slow
def test_unet_of_the_published_proportions(backend: Any) -> None:
    text = {name: UNET[name] for name in ("addition_embed_type", "encoder_hid_dim_type")}
    config = tiny.UNET_DEEP | text | {"encoder_hid_dim": 48, "in_channels": 9}
    predictions(backend, config, (1, 16, 8), 1.0)


def predictions(backend: Any, config: dict[str, Any], shape: Any, guidance: float) -> None:
    """With guidance the conditioning has two halves, of which the first is the unconditional."""
    model = tiny.unet(config)
    batch, height, width = shape
    rows = 2 * batch if guidance > 1 else batch
    conditioning = {
        "image_embeds": normal(rows, config["cross_attention_dim"]),
        "text_embeds": normal(rows, config["cross_attention_dim"]) + 1,
        "text_encoder_hidden_states": normal(rows, LENGTH, config["encoder_hid_dim"]),
    }
    if config["in_channels"] == 9:
        conditioning["image_latents"] = normal(rows, 5, height, width)
    sample, timestep = normal(batch, 4, height, width), 500
    network = loaded(backend, model)

    def compare(given: dict[str, Any]) -> Any:
        expected = predicted(model, sample, timestep, given)
        if guidance > 1:
            without, having = np.split(expected, 2)
            expected = without + np.float32(guidance) * (having - without)
        run = network.begin(sample, given, guidance)
        run.step(timestep, OUTPUT, None)
        require("unet", run.read(), expected)
        return run.read()

    first = compare(conditioning)
    for name, array in conditioning.items():  # each part counts
        other = compare(conditioning | {name: np.roll(array, 1, axis=-1)})
        assert tiny.relative_error(other, first) > 1e-3, name


def predicted(model: Any, sample: Any, timestep: int, conditioning: dict[str, Any]) -> Any:
    """The reference's noise: the first four channels."""
    given = {name: torch.from_numpy(array.copy()) for name, array in conditioning.items()}
    states = given.pop("text_encoder_hidden_states")
    rows = torch.from_numpy(np.concatenate([sample] * (len(states) // len(sample))))
    if "image_latents" in given:
        rows = torch.cat([rows, given.pop("image_latents")], dim=1)
    return model(rows, timestep, states, added_cond_kwargs=given).sample[:, :4].numpy()


def test_bug_30_kept_clip_takes_its_activation_and_its_pooling_from_the_config(
    backend: Any,
) -> None:
    """2.1 has quick_gelu, 2.2 gelu (tested there); an `eos_token_id` of 2 pools at the greatest."""
    text = tiny.clip_text(tiny.CLIP_TEXT | {"hidden_act": "quick_gelu"})
    ids = np.random.default_rng(0).integers(3, 100, (2, LENGTH)).astype(np.int32)
    ids[0, 5:], ids[1, 70:] = 119, 119
    expected = text(torch.from_numpy(ids.astype(np.int64)))
    for row in (0, 1):
        got = loaded(backend, text).encode(ids[row : row + 1])
        require("clip", got[0], expected.text_embeds[row : row + 1])
        require("clip", got[1], expected.last_hidden_state[row : row + 1])
    vision = tiny.clip_vision(tiny.CLIP_VISION | {"hidden_act": "quick_gelu"})
    pixels = normal(1, 3, 42, 42)
    got = loaded(backend, vision).encode(pixels)
    require("clip", got, vision(torch.from_numpy(pixels)).image_embeds)
