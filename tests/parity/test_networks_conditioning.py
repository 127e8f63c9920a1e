"""UNets with a hint and with nine channels, on both backends, against diffusers on random weights.

Measured relative L2 errors in float32, with guidance: JAX 2.6e-6, MindSpore 3.9e-6, and 4.4e-6 on a
processor with AVX2 alone.
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

from kandinsky_core import get_backend  # noqa: E402
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from kandinsky_core.seam.step_rules import Kept  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.support.backends import BACKENDS  # noqa: E402
from tests.support.tolerances import allowed  # noqa: E402

LOG = logging.getLogger(__name__)

TOLERANCE = allowed("conditioned unet")
# A row under which the sample becomes the network's output.
OUTPUT = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
HINT = {"in_channels": 8, "addition_embed_type": "image_hint"}
NINE = {"in_channels": 9}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    return get_backend(request.param)


def twin(backend: Any, model: Any) -> Any:
    """Our network with the weights of a PyTorch model."""
    tensors = tiny.tensors_of(model)
    source = SimpleNamespace(
        class_name=type(model).__name__, config=tiny.config_dict(model), tensors=lambda: tensors
    )
    return backend.load(source, "float32")


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def conditioning_of(config: dict[str, Any], batch: int, height: int, width: int) -> dict[str, Any]:
    """Embeddings, and the hint or the masked latents with their mask."""
    embeds = {"image_embeds": normal(batch, config["encoder_hid_dim"])}
    if config["in_channels"] == 8:
        hint = np.random.default_rng(1).random((batch, 3, 8 * height, 8 * width), np.float32)
        return embeds | {"hint": hint}
    mask = (normal(batch, 1, height, width) > 0).astype(np.float32)
    return embeds | {"image_latents": np.concatenate([normal(batch, 4, height, width), mask], 1)}


def predicted(model: Any, sample: Any, timestep: int, conditioning: dict[str, Any]) -> Any:
    """The reference's noise: the first four channels."""
    given = {name: torch.from_numpy(array) for name, array in conditioning.items()}
    rows = torch.from_numpy(sample)
    if "image_latents" in given:
        rows = torch.cat([rows, given.pop("image_latents")], dim=1)
    return model(rows, timestep, None, added_cond_kwargs=given).sample[:, :4].numpy()


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        pytest.param(tiny.UNET | HINT, (2, 6, 10), id="hint"),
        pytest.param(tiny.UNET | NINE, (2, 6, 10), id="nine channels"),
    ],
)
def test_guided_prediction(backend: Any, config: dict[str, Any], shape: Any) -> None:
    """The conditioning has two halves, of which the first is the unconditional."""
    model, guidance = tiny.unet(config), 1.5
    batch, height, width = shape
    rows = 2 * batch
    sample, timestep = normal(batch, 4, height, width), 500
    conditioning = conditioning_of(config, rows, height, width)

    both = predicted(model, np.concatenate([sample] * 2), timestep, conditioning)
    without, having = np.split(both, 2)
    expected = without + np.float32(guidance) * (having - without)

    run = twin(backend, model).begin(sample, conditioning, guidance)
    run.step(timestep, OUTPUT, None)
    error = tiny.relative_error(run.read(), expected)
    LOG.info("relative L2 error %.2e, allowed %.2e", error, TOLERANCE)
    assert error < TOLERANCE


@pytest.mark.parametrize("config", [HINT, NINE], ids=["hint", "nine channels"])
def test_each_part_of_the_conditioning_counts(backend: Any, config: dict[str, Any]) -> None:
    """Another hint, masked picture or mask changes the prediction, and `condition` replaces it."""
    model = tiny.unet(tiny.UNET | config)
    network = twin(backend, model)
    sample, conditioning = normal(2, 4, 6, 10), conditioning_of(tiny.UNET | config, 2, 6, 10)

    run = network.begin(sample, conditioning, 1.0)
    run.step(500, OUTPUT, None)
    first = run.read()
    for name in conditioning:
        changed = conditioning | {name: conditioning[name] + 0.25}
        run.write(sample)
        run.condition(changed)
        run.step(500, OUTPUT, None)
        expected = predicted(model, sample, 500, changed)
        assert tiny.relative_error(run.read(), expected) < TOLERANCE, name
        assert tiny.relative_error(run.read(), first) > 1e-3, name


def test_what_is_kept_is_put_back_after_each_step(backend: Any) -> None:
    """Through a run, against NumPy: noised as the row says, where the mask is 1."""
    network = twin(backend, tiny.unet(tiny.UNET | NINE))
    sample, conditioning = normal(2, 4, 6, 10), conditioning_of(tiny.UNET | NINE, 4, 6, 10)
    original, noise = normal(2, 4, 6, 11)[..., :10], normal(2, 4, 6, 12)[..., :10]
    mask = conditioning["image_latents"][:2, 4:]
    (row,) = make_rows(1, x0_from_output=0.5, x0_clip=1, mean_from_x0=0.8, mean_from_sample=0.3)
    kept_row = row + make_rows(1, kept_from_original=0.6, kept_from_noise=0.8, input_scale=0)[0]

    free = network.begin(sample, conditioning, 1.5)
    free.step(500, row, None)
    expected = mask * (np.float32(0.6) * original + np.float32(0.8) * noise)
    expected += (1 - mask) * free.read()
    kept = Kept(original=original, noise=noise, mask=mask)
    run = network.begin(sample, conditioning, 1.5, kept=kept)
    run.step(500, kept_row, None)
    np.testing.assert_allclose(run.read(), expected, atol=allowed("kept latents"))

    (last,) = make_rows(1, mean_from_sample=1, x0_clip=1, kept_from_original=1)
    run.step(1, last, None)
    np.testing.assert_array_equal(np.where(mask, run.read(), 0), np.where(mask, original, 0))
