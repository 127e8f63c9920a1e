"""Kandinsky 3's networks on both backends against diffusers and transformers, on a CPU.

Measured relative L2 errors in float32, on either backend: UNet 2.7e-6 (with guidance 4e-6), T5
8e-7. JAX in float16 and bfloat16 has 0.9 times the error that PyTorch has in them.
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

from kandinsky_backend_kit.t5_positions import relative_buckets  # noqa: E402
from kandinsky_core.errors import CheckpointError, InvalidInputError  # noqa: E402
from kandinsky_core.schedulers.schedule import make_rows  # noqa: E402
from kandinsky_core.seam.registry import get_backend  # noqa: E402
from tests.parity import tiny  # noqa: E402
from tests.support.backends import BACKENDS  # noqa: E402
from tests.support.dict_tensors import DictTensors  # noqa: E402
from tests.support.tolerances import HALF_PRECISION, allowed  # noqa: E402

LOG = logging.getLogger(__name__)

UNET_TOLERANCE = allowed("3 unet")
GUIDED_TOLERANCE = allowed("3 guided unet")
T5_TOLERANCE = allowed("3 t5")
HALF_PRECISION_FACTOR = HALF_PRECISION["jax"]
HALF_PRECISION_ROUNDINGS = 6  # of the dtype's precision
# A row under which the sample becomes the network's output.
OUTPUT = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
# Two levels of the published four, which on the way up have attention where those have none.
SMALL = tiny.KANDINSKY3_UNET_SHALLOW


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    return get_backend(request.param)


def check(error: float, tolerance: float) -> None:
    LOG.info("relative L2 error %.2e, allowed %.2e", error, tolerance)
    assert error < tolerance


def source(model: Any, tensors: DictTensors | None = None, **changes: Any) -> Any:
    """A model of PyTorch as a checkpoint."""
    found = tensors or tiny.tensors_of(model)
    config = tiny.config_dict(model) | changes
    return SimpleNamespace(
        class_name=type(model).__name__, config=config, tensors=lambda: found, name="model"
    )


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def mask_of(lengths: list[int], tokens: int) -> Any:
    return np.arange(tokens)[None] < np.array(lengths)[:, None]


def text(config: dict[str, Any], lengths: list[int], tokens: int) -> dict[str, Any]:
    """States that are zero on padding, as pipelines make them, and the mask."""
    mask = mask_of(lengths, tokens)
    states = normal(len(lengths), tokens, config["encoder_hid_dim"]) * mask[..., None]
    return {"text_encoder_hidden_states": states, "attention_mask": mask}


def predict(denoiser: Any, sample: Any, timestep: int, conditioning: dict[str, Any]) -> Any:
    """One step without guidance, whose result is the prediction."""
    run = denoiser.begin(sample, conditioning, 1.0)
    run.step(timestep, OUTPUT, None)
    return run.read()


def reference(model: Any, sample: Any, timestep: int, conditioning: dict[str, Any]) -> Any:
    states = torch.from_numpy(conditioning["text_encoder_hidden_states"]).to(model.dtype)
    mask = torch.from_numpy(conditioning["attention_mask"])
    given = torch.from_numpy(sample).to(model.dtype)
    return model(given, timestep, states, mask).sample.float()


@pytest.mark.parametrize(
    ("config", "shape", "lengths", "timestep"),
    [
        # The last prompt is all padding, as the unconditional one of diffusers is.
        pytest.param(SMALL, (8, 6), [7, 3, 0], 500, id="small"),
        pytest.param(
            tiny.KANDINSKY3_UNET, (16, 24), [1, 9], 999, id="published", marks=pytest.mark.slow
        ),
    ],
)
def test_unet(
    backend: Any, config: dict[str, Any], shape: Any, lengths: list[int], timestep: int
) -> None:
    model = tiny.kandinsky3_unet(config)
    sample, conditioning = normal(len(lengths), 4, *shape), text(config, lengths, 9)
    ours = predict(backend.load(source(model), "float32"), sample, timestep, conditioning)
    theirs = reference(model, sample, timestep, conditioning)
    for row in range(len(lengths)):
        check(tiny.relative_error(ours[row], theirs[row]), UNET_TOLERANCE)


def test_texts_of_any_length_run_one_program() -> None:
    """How many tokens there are counts, as the UNet takes a mean over them; it is no shape."""
    pytest.importorskip("jax")
    model, sample = tiny.kandinsky3_unet(SMALL), normal(2, 4, 8, 8)
    denoiser: Any = get_backend("jax").load(source(model), "float32")
    for tokens in (1, 4, 23, 128):
        conditioning = text(SMALL, [tokens, 0], tokens)
        theirs = reference(model, sample, 7, conditioning)
        ours = predict(denoiser, sample, 7, conditioning)
        check(tiny.relative_error(ours, theirs), UNET_TOLERANCE)
    assert len(denoiser.compilations) == 2
    predict(denoiser, sample, 7, text(SMALL, [2, 129], 129))
    assert len(denoiser.compilations) == 4


def test_inpainting_unet(backend: Any) -> None:
    model = tiny.kandinsky3_inpainting_unet(SMALL)
    ours = backend.load(source(model, in_channels=9, out_channels=4), "float32")
    rows, conditioning = normal(2, 9, 8, 8), text(SMALL, [5, 2], 6)
    given = predict(ours, rows[:, :4], 42, conditioning | {"image_latents": rows[:, 4:]})
    assert given.shape == (2, 4, 8, 8)
    check(tiny.relative_error(given, reference(model, rows, 42, conditioning)), UNET_TOLERANCE)


def test_the_original_convention_and_guidance(backend: Any) -> None:
    """Zero after the projection where there is no text; the null embedding where there is none.

    Guidance g of the reference, (g + 1) conditional - g unconditional, is our g + 1.
    """
    model, scale = tiny.kandinsky3_unet(SMALL), 3.0
    conditioning = text(SMALL, [1, 4], 5)  # unconditional, conditional
    null = normal(SMALL["cross_attention_dim"])
    context = model.encoder_hid_proj(torch.from_numpy(conditioning["text_encoder_hidden_states"]))
    context = context * torch.from_numpy(conditioning["attention_mask"])[..., None]
    context[0] = 0
    context[0, 0] = torch.from_numpy(null)
    model.encoder_hid_proj.forward = lambda _: context
    sample = normal(1, 4, 8, 8)
    rows = np.repeat(sample, 2, axis=0)
    unconditional, conditional = reference(model, rows, 7, conditioning)
    expected = (scale + 1) * conditional - scale * unconditional
    conditioning["projected_mask"] = conditioning["attention_mask"] & [[False], [True]]
    conditioning["null_embedding"] = np.stack([null, np.zeros_like(null)])
    ours = backend.load(source(model), "float32")
    run = ours.begin(sample, conditioning, scale + 1)
    run.step(7, OUTPUT, None)
    check(tiny.relative_error(run.read()[0], expected), GUIDED_TOLERANCE)


def test_sizes(backend: Any) -> None:
    ours = backend.load(source(tiny.kandinsky3_unet(SMALL)), "float32")
    with pytest.raises(InvalidInputError, match="7 x 8; the UNet needs multiples of 2"):
        predict(ours, normal(1, 4, 7, 8), 7, text(SMALL, [4], 5))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_unet_in_half_precision(dtype: str) -> None:
    pytest.importorskip("jax")
    model, sample = tiny.kandinsky3_unet(SMALL), normal(2, 4, 8, 8)
    conditioning = text(SMALL, [5, 2], 6)
    exact = reference(model, sample, 42, conditioning)
    ours = get_backend("jax").load(source(model), dtype)
    assert ours.dtype == dtype
    error = tiny.relative_error(predict(ours, sample, 42, conditioning), exact)
    theirs = reference(model.to(getattr(torch, dtype)), sample, 42, conditioning)
    # On some processors PyTorch computes in float32 between its roundings to float16.
    roundings = HALF_PRECISION_ROUNDINGS * torch.finfo(getattr(torch, dtype)).eps
    check(error, max(HALF_PRECISION_FACTOR * tiny.relative_error(theirs, exact), roundings))


def t5_input() -> tuple[Any, Any]:
    """Ids and mask of 128 tokens: full, short, the end of the text alone, nothing."""
    lengths = [128, 40, 1, 0]
    ids = np.random.default_rng(3).integers(0, tiny.T5["vocab_size"], (len(lengths), 128))
    return ids.astype(np.int32), mask_of(lengths, 128)


def states_of(model: Any, ids: Any, mask: Any) -> Any:
    given = (torch.from_numpy(array) for array in (ids, mask))
    return model(*given).last_hidden_state.float()


@pytest.mark.parametrize("gate", ["gated-silu", "gated-gelu"])
def test_t5(backend: Any, gate: str) -> None:
    model, (ids, mask) = tiny.t5(tiny.T5 | {"feed_forward_proj": gate}), t5_input()
    ours = backend.load(source(model), "float32").encode(ids, mask)
    assert ours.dtype == np.float32
    theirs = states_of(model, ids, mask)
    for row in range(len(ids)):
        check(tiny.relative_error(ours[row], theirs[row]), T5_TOLERANCE)


def test_buckets_of_distances() -> None:
    attention = transformers.models.t5.modeling_t5.T5Attention
    ahead = torch.arange(600)[None] - torch.arange(600)[:, None]
    for count, farthest in ((32, 128), (32, 20), (16, 512)):
        theirs = attention._relative_position_bucket(
            ahead, num_buckets=count, max_distance=farthest
        )
        np.testing.assert_array_equal(relative_buckets(600, count, farthest), theirs)


def test_t5_never_computes_in_float16(backend: Any) -> None:
    """bfloat16 where that runs: with JAX, as near to float32 as PyTorch is in bfloat16."""
    model, (ids, mask) = tiny.t5(tiny.T5), t5_input()
    ours = backend.load(source(model), "float16")
    assert ours.dtype == {"jax": "bfloat16", "mindspore": "float32"}[backend.name]
    exact = states_of(model, ids, mask)
    error = tiny.relative_error(ours.encode(ids, mask), exact)
    theirs = states_of(model.to(torch.bfloat16), ids, mask)
    check(error, tiny.relative_error(theirs, exact))
    before = ours.dtype
    ours.to(dtype="float16")
    assert ours.dtype == before


@pytest.mark.parametrize("names", ["both", "shared", "embed_tokens"])
def test_t5_files_of_mixed_precision_and_either_name_of_the_embedding(
    backend: Any, names: str
) -> None:
    """The published fp16 files hold `wo` in float32."""
    model, (ids, mask) = tiny.t5(tiny.T5), t5_input()
    arrays = {
        name: array if ".wo." in name else array.astype(np.float16)
        for name, array in tiny.tensors_of(model).arrays.items()
    }
    others = {"both": (), "shared": ("encoder.embed_tokens",), "embed_tokens": ("shared",)}
    for other in others[names]:
        del arrays[f"{other}.weight"]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".wo." not in name:
                parameter.copy_(parameter.half())
    ours = backend.load(source(model, DictTensors(arrays)), "float32").encode(ids, mask)
    check(tiny.relative_error(ours, states_of(model, ids, mask)), T5_TOLERANCE)


def test_t5_without_an_embedding_is_refused(backend: Any) -> None:
    model = tiny.t5(tiny.T5)
    tensors = tiny.tensors_of(model)
    for name in ("shared.weight", "encoder.embed_tokens.weight"):
        del tensors.arrays[name]
    with pytest.raises(CheckpointError, match=r"1 missing \(shared\.weight\)"):
        backend.load(source(model, tensors), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_t5_block_by_block_is_t5(backend: Any, dtype: str) -> None:
    """The same but for the order of sums; each tensor is read once."""
    model, (ids, mask) = tiny.t5(tiny.T5), t5_input()
    given = source(model)
    tensors = given.tensors()
    streamed = backend.load_streamed(given, dtype)
    assert tensors.reads == []
    ours = streamed.encode(ids, mask)
    assert sorted(tensors.reads) == sorted(set(tensors.names()) - {"encoder.embed_tokens.weight"})
    whole = backend.load(given, dtype)
    assert (streamed.dtype, streamed.device) == (whole.dtype, whole.device)
    if whole.dtype == "float32":
        check(tiny.relative_error(ours, whole.encode(ids, mask)), allowed("3 t5 in blocks"))
    exact = states_of(model, ids, mask)
    wide = allowed("3 t5 bfloat16")
    check(tiny.relative_error(ours, exact), wide if whole.dtype == "bfloat16" else T5_TOLERANCE)


def test_t5_block_by_block_takes_no_other_weights(backend: Any) -> None:
    model = tiny.t5(tiny.T5)
    streamed = backend.load_streamed(source(model), "float32")
    with pytest.raises(InvalidInputError, match=r"shared\.weight: a text encoder that is read"):
        streamed.update_weights({"shared.weight": np.zeros(1)})
    tensors = tiny.tensors_of(model)
    del tensors.arrays["encoder.block.1.layer.0.SelfAttention.q.weight"]
    with pytest.raises(CheckpointError, match=r"1 missing \(encoder\.block\.1"):
        backend.load_streamed(source(model, tensors), "float32")
