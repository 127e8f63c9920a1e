"""The MindSpore networks against diffusers and transformers, on tiny random models, on a CPU.

Measured relative L2 errors in float32: UNet 1.6e-6 (with guidance 2.1e-6), MoVQ 1.2e-6, prior
4e-7, CLIP 7e-7; in float16 1.1 to 1.4 times those of PyTorch in float16.
`pytest --log-cli-level=INFO` shows what each test measures.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mindspore")
pytest.importorskip("mindone")

from kandinsky_mindspore.runtime import load_mindspore

load_mindspore()  # first, as it has NumPy know `bfloat16` as before
torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from kandinsky_core.errors import CheckpointError, InvalidInputError  # noqa: E402
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from kandinsky_mindspore import create  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.support.tolerances import HALF_PRECISION, allowed  # noqa: E402

LOG = logging.getLogger(__name__)

UNET_TOLERANCE = allowed("mindspore unet")
MOVQ_TOLERANCE = allowed("mindspore movq")
PRIOR_TOLERANCE = allowed("mindspore prior")
CLIP_TOLERANCE = allowed("mindspore clip")
HALF_PRECISION_FACTOR = HALF_PRECISION["mindspore"]
# A row under which the sample becomes the network's output.
OUTPUT = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]


@pytest.fixture(scope="module")
def backend() -> Any:
    return create()


def check(error: float, tolerance: float) -> None:
    LOG.info("relative L2 error %.2e, allowed %.2e", error, tolerance)
    assert error < tolerance


def source(model: Any) -> Any:
    tensors = tiny.tensors_of(model)
    return SimpleNamespace(
        class_name=type(model).__name__, config=tiny.config_dict(model), tensors=lambda: tensors
    )


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def predict(denoiser: Any, sample: Any, timestep: int, **conditioning: Any) -> Any:
    """One step without guidance, whose result is the prediction."""
    run = denoiser.begin(sample, conditioning, 1.0)
    run.step(timestep, OUTPUT, None)
    return run.read()


def reference(model: Any, *inputs: Any, **options: Any) -> Any:
    """Call a PyTorch model on arrays."""
    tensors = [torch.from_numpy(array) for array in inputs]
    return model(*[t.to(model.dtype) if t.is_floating_point() else t for t in tensors], **options)


def unet_input(config: dict[str, Any], batch: int, height: int, width: int) -> tuple[Any, Any]:
    sample = normal(batch, config["in_channels"], height, width)
    return sample, normal(batch, config["encoder_hid_dim"])


def run_unet(model: Any, sample: Any, timestep: int, embeds: Any) -> Any:
    """The first half of the channels: the published schedulers use no more."""
    embeds = torch.from_numpy(embeds).to(model.dtype)
    sample = torch.from_numpy(sample).to(model.dtype)
    noise = model(sample, timestep, None, added_cond_kwargs={"image_embeds": embeds}).sample
    return noise[:, : sample.shape[1]].float()


@pytest.mark.parametrize(
    ("config", "shape", "timestep"),
    [
        pytest.param(tiny.UNET, (1, 8, 8), 999, id="small"),
        pytest.param(tiny.UNET, (3, 6, 10), 1, id="small, three"),
        pytest.param(
            tiny.UNET_DEEP | {"out_channels": 18},
            (2, 16, 24),
            500,
            id="deep",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_unet(backend: Any, config: dict[str, Any], shape: Any, timestep: int) -> None:
    model = tiny.unet(config)
    sample, embeds = unet_input(config, *shape)
    ours = predict(backend.load(source(model), "float32"), sample, timestep, image_embeds=embeds)
    check(tiny.relative_error(ours, run_unet(model, sample, timestep, embeds)), UNET_TOLERANCE)


def prior_input(lengths: list[int]) -> tuple[Any, dict[str, Any]]:
    """Noisy embedding; text embedding, text states, mask with this many tokens."""
    batch, width, tokens = len(lengths), tiny.PRIOR["embedding_dim"], tiny.PRIOR["num_embeddings"]
    sample, embeds = normal(2, batch, width)
    mask = np.arange(tokens)[None] < np.array(lengths)[:, None]
    states = normal(batch, tokens, width)
    return sample, {
        "prompt_embeds": embeds,
        "text_encoder_hidden_states": states,
        "text_mask": mask,
    }


def run_prior(model: Any, sample: Any, timestep: int, conditioning: dict[str, Any]) -> Any:
    arrays = [torch.from_numpy(array) for array in conditioning.values()]
    tensors = [a.to(model.dtype) if a.is_floating_point() else a for a in arrays]
    given = torch.from_numpy(sample).to(model.dtype)
    return model(given, timestep, *tensors).predicted_image_embedding.float()


@pytest.mark.parametrize(("lengths", "timestep"), [([77], 999), ([77, 5, 1], 42)])
def test_prior(backend: Any, lengths: list[int], timestep: int) -> None:
    model = tiny.prior(tiny.PRIOR)
    sample, conditioning = prior_input(lengths)
    ours = backend.load(source(model), "float32")
    given = predict(ours, sample, timestep, **conditioning)
    check(
        tiny.relative_error(given, run_prior(model, sample, timestep, conditioning)),
        PRIOR_TOLERANCE,
    )
    for statistics, name in zip(ours.clip_statistics(), ("clip_mean", "clip_std"), strict=True):
        np.testing.assert_array_equal(statistics, getattr(model, name).detach().numpy())


@pytest.mark.parametrize(
    ("config", "latents", "pixels"),
    [
        pytest.param(tiny.MOVQ, (1, 8, 8), (1, 16, 16), id="small"),
        pytest.param(tiny.MOVQ, (3, 3, 5), (3, 17, 22), id="small, three, odd"),
        pytest.param(tiny.MOVQ_DEEP, (2, 3, 5), (2, 24, 40), id="deep", marks=pytest.mark.slow),
    ],
)
def test_movq(backend: Any, config: dict[str, Any], latents: Any, pixels: Any) -> None:
    model = tiny.movq(config)
    ours = backend.load(source(model), "float32")
    z = normal(latents[0], config["latent_channels"], *latents[1:])
    decoded = model.decode(torch.from_numpy(z), force_not_quantize=True).sample
    check(tiny.relative_error(ours.decode(z), decoded), MOVQ_TOLERANCE)
    x = normal(pixels[0], 3, *pixels[1:])
    encoded = model.encode(torch.from_numpy(x)).latents
    check(tiny.relative_error(ours.encode(x), encoded), MOVQ_TOLERANCE)


@pytest.mark.parametrize(
    ("activation", "end_of_text", "length"),
    [("gelu", 2, 77), ("quick_gelu", 2, 9), ("gelu", 119, 9), ("quick_gelu", 7, 9)],
)
def test_clip_text(backend: Any, activation: str, end_of_text: int, length: int) -> None:
    config = tiny.CLIP_TEXT | {"hidden_act": activation, "eos_token_id": end_of_text}
    model = tiny.clip_text(config)
    ids = np.random.default_rng(length).integers(8, 119, (3, length))
    # The end in the middle and repeated after it, at the start, and (for id 7) absent.
    ids[0, 5:] = 119 if end_of_text == 2 else end_of_text
    ids[1, 0] = 119
    embeds, states = backend.load(source(model), "float32").encode(ids)
    theirs = reference(model, ids)
    check(tiny.relative_error(embeds, theirs.text_embeds), CLIP_TOLERANCE)
    check(tiny.relative_error(states, theirs.last_hidden_state), CLIP_TOLERANCE)


@pytest.mark.parametrize(("activation", "batch"), [("gelu", 1), ("quick_gelu", 3)])
def test_clip_vision(backend: Any, activation: str, batch: int) -> None:
    model = tiny.clip_vision(tiny.CLIP_VISION | {"hidden_act": activation})
    pixels = normal(batch, 3, 42, 42)
    ours = backend.load(source(model), "float32").encode(pixels)
    check(tiny.relative_error(ours, reference(model, pixels).image_embeds), CLIP_TOLERANCE)


def check_half_precision(ours: Any, theirs: Any, exact: Any) -> None:
    """Ours must be about as near to the float32 result as PyTorch's is in the same dtype."""
    check(
        tiny.relative_error(ours, exact),
        HALF_PRECISION_FACTOR * tiny.relative_error(theirs, exact),
    )


def test_unet_in_float16(backend: Any) -> None:
    model, (sample, embeds) = tiny.unet(tiny.UNET), unet_input(tiny.UNET, 2, 8, 8)
    ours = backend.load(source(model), "float16")
    assert ours.dtype == "float16"
    given = predict(ours, sample, 500, image_embeds=embeds)
    exact = run_unet(model, sample, 500, embeds)
    check_half_precision(given, run_unet(model.half(), sample, 500, embeds), exact)


def test_prior_in_float16(backend: Any) -> None:
    model, (sample, conditioning) = tiny.prior(tiny.PRIOR), prior_input([77, 5])
    given = predict(backend.load(source(model), "float16"), sample, 42, **conditioning)
    exact = run_prior(model, sample, 42, conditioning)
    check_half_precision(given, run_prior(model.half(), sample, 42, conditioning), exact)


def test_clip_in_float16(backend: Any) -> None:
    model = tiny.clip_text(tiny.CLIP_TEXT)
    ids = np.random.default_rng(0).integers(8, 119, (2, 77))
    given = backend.load(source(model), "float16").encode(ids)[1]
    exact = reference(model, ids).last_hidden_state
    check_half_precision(given, reference(model.half(), ids).last_hidden_state.float(), exact)


def test_tensors_that_do_not_fit_are_named_before_any_is_read(backend: Any) -> None:
    model = tiny.clip_text(tiny.CLIP_TEXT)
    given = source(model)
    tensors = given.tensors()
    # Of a layer that MindSpore names otherwise: the message has the checkpoint's name.
    del tensors.arrays["text_model.final_layer_norm.weight"]
    tensors.arrays["text_model.embeddings.extra"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError, match=r"1 missing \(text_model.final_layer_norm.weight\)"):
        backend.load(given, "float32")
    assert tensors.reads == []


def test_guidance_and_sizes(backend: Any) -> None:
    model = tiny.unet(tiny.UNET)
    ours = backend.load(source(model), "float32")
    sample, embeds = unet_input(tiny.UNET, 2, 8, 8)
    parts = [run_unet(model, sample, 7, half) for half in (embeds, -embeds)]
    run = ours.begin(sample, {"image_embeds": np.concatenate([embeds, -embeds])}, 3.0)
    run.step(7, OUTPUT, None)
    check(tiny.relative_error(run.read(), parts[0] + 3 * (parts[1] - parts[0])), UNET_TOLERANCE)
    with pytest.raises(InvalidInputError, match="7 x 8; the UNet needs multiples of 2"):
        ours.begin(sample[:, :, :7], {"image_embeds": embeds}, 1.0)
