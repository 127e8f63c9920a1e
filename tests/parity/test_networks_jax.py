"""The JAX networks against diffusers and transformers, on tiny random models.

Measured relative L2 errors in float32: UNet 1.7e-6, MoVQ encode 1.4e-6 and decode 1.2e-6, prior
3e-7, CLIP 5e-7. `pytest --log-cli-level=INFO` shows what each test measures.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from kandinsky_core.configs import (
    CLIPTextConfig,
    CLIPVisionConfig,
    MultilingualCLIPConfig,
    PriorTransformerConfig,
    UNet2DConditionConfig,
    VQModelConfig,
)
from kandinsky_core.configs.networks import unused_tensors
from kandinsky_jax.layers import winograd
from tests.parity import tiny
from tests.support.jax_networks import expected_shapes, filled_network
from tests.support.published import CONFIG_CLASSES, published_config, published_json
from tests.support.tolerances import HALF_PRECISION, allowed

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

MultilingualCLIPReference = import_module(
    "diffusers.pipelines.kandinsky.text_encoder"
).MultilingualCLIP

LOG = logging.getLogger(__name__)

UNET_TOLERANCE = allowed("jax unet")
MOVQ_TOLERANCE = allowed("jax movq")
PRIOR_TOLERANCE = allowed("jax prior")
CLIP_TOLERANCE = allowed("jax clip")
HALF_PRECISION_FACTOR = HALF_PRECISION["jax"]
HALF_PRECISION_ROUNDINGS = 12  # of the dtype's precision
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}

CLASSES: dict[type, Any] = {
    diffusers.UNet2DConditionModel: UNet2DConditionConfig,
    diffusers.PriorTransformer: PriorTransformerConfig,
    diffusers.VQModel: VQModelConfig,
    MultilingualCLIPReference: MultilingualCLIPConfig,
    transformers.CLIPTextModelWithProjection: CLIPTextConfig,
    transformers.CLIPVisionModelWithProjection: CLIPVisionConfig,
}


def check(error: float, tolerance: float) -> None:
    LOG.info("relative L2 error %.2e, allowed %.2e", error, tolerance)
    assert error < tolerance


def twin(model: Any, dtype: str = "float32") -> Any:
    """Our network with the weights of a PyTorch model."""
    config = CLASSES[type(model)].from_dict(tiny.config_dict(model))
    return filled_network(config, tiny.tensors_of(model), dtype=dtype)


def normal(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def to_jax(tensor: Any) -> jax.Array:
    """Images to channels-last; the rest as it is."""
    tensor = tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor
    return jnp.asarray(tiny.numpy_of(tensor))


def channels_first(array: jax.Array) -> jax.Array:
    return array.transpose(0, 3, 1, 2)


def unet_input(config: dict[str, Any], batch: int, height: int, width: int) -> tuple[Any, ...]:
    """Latents, timesteps, image embeddings."""
    sample = normal(batch, config["in_channels"], height, width)
    return sample, torch.tensor([999, 500, 1])[:batch], normal(batch, config["encoder_hid_dim"])


def run_unet(model: Any, sample: Any, time: Any, embeds: Any) -> Any:
    conditioning = {"image_embeds": embeds.to(model.dtype)}
    return model(sample.to(model.dtype), time, None, added_cond_kwargs=conditioning).sample


def run_unet_twin(model: Any, dtype: str, sample: Any, time: Any, embeds: Any) -> jax.Array:
    run = nnx.jit(lambda net, x, t, e: net(x, t, net.prepare(e)))
    return channels_first(run(twin(model, dtype), *map(to_jax, (sample, time, embeds))))


def prior_input(lengths: list[int]) -> tuple[Any, ...]:
    """Noisy embedding, timesteps, text embedding, text states, mask with this many tokens."""
    batch, width, tokens = len(lengths), tiny.PRIOR["embedding_dim"], tiny.PRIOR["num_embeddings"]
    sample, embeds = normal(2, batch, width)
    mask = torch.arange(tokens)[None] < torch.tensor(lengths)[:, None]
    return sample, torch.tensor([999, 42, 0])[:batch], embeds, normal(batch, tokens, width), mask


def run_prior(model: Any, sample: Any, time: Any, embeds: Any, states: Any, mask: Any) -> Any:
    sample, embeds, states = (tensor.to(model.dtype) for tensor in (sample, embeds, states))
    return model(sample, time, embeds, states, mask).predicted_image_embedding


def run_prior_twin(model: Any, dtype: str, *inputs: Any) -> jax.Array:
    run = nnx.jit(lambda net, x, t, *text: net(x, t, net.prepare(*text)))
    return run(twin(model, dtype), *map(to_jax, inputs))


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        pytest.param(tiny.UNET, (3, 6, 10), id="small, three"),
        # Four levels of three blocks, nine input channels, other groups and head width.
        pytest.param(tiny.UNET_DEEP, (2, 16, 24), id="deep", marks=pytest.mark.slow),
    ],
)
def test_unet(config: dict[str, Any], shape: tuple[int, int, int]) -> None:
    model = tiny.unet(config)
    inputs = unet_input(config, *shape)
    ours = run_unet_twin(model, "float32", *inputs)
    check(tiny.relative_error(ours, run_unet(model, *inputs)), UNET_TOLERANCE)


def test_prior() -> None:
    model = tiny.prior(tiny.PRIOR)
    inputs = prior_input([77, 5, 1])
    ours = run_prior_twin(model, "float32", *inputs)
    check(tiny.relative_error(ours, run_prior(model, *inputs)), PRIOR_TOLERANCE)


def test_prior_post_processing() -> None:
    model = tiny.prior(tiny.PRIOR)
    x = normal(3, 32)
    ours = twin(model).post_process_latents(to_jax(x))
    check(tiny.relative_error(ours, model.post_process_latents(x)), allowed("jax unnormalised"))


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        pytest.param(tiny.MOVQ, (3, 3, 5), id="small, three, odd"),
        pytest.param(tiny.MOVQ_DEEP, (2, 3, 5), id="deep", marks=pytest.mark.slow),
    ],
)
def test_movq_decode(config: dict[str, Any], shape: tuple[int, int, int]) -> None:
    model = tiny.movq(config)
    latents = normal(shape[0], config["latent_channels"], *shape[1:])
    ours = nnx.jit(lambda net, z: net.decode(z))(twin(model), to_jax(latents))
    theirs = model.decode(latents, force_not_quantize=True).sample
    check(tiny.relative_error(channels_first(ours), theirs), MOVQ_TOLERANCE)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(tiny.MOVQ, id="small"),
        pytest.param(tiny.MOVQ_DEEP, id="deep", marks=pytest.mark.slow),
    ],
)
def test_movq_decode_by_bands(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide networks decode on a CPU: more rows than a band, and no whole number of bands."""
    monkeypatch.setattr(winograd, "WIDE", 1)
    model = tiny.movq(config)
    latents = normal(2, config["latent_channels"], 9, 5)
    network = twin(model)
    assert network.decoder.up_blocks[0].upsamplers[0].conv.bands
    ours = nnx.jit(lambda net, z: net.decode(z))(network, to_jax(latents))
    theirs = model.decode(latents, force_not_quantize=True).sample
    check(tiny.relative_error(channels_first(ours), theirs), MOVQ_TOLERANCE)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        pytest.param(tiny.MOVQ, (3, 17, 22), id="small, three, odd"),
        pytest.param(tiny.MOVQ_DEEP, (2, 24, 40), id="deep", marks=pytest.mark.slow),
    ],
)
def test_movq_encode(config: dict[str, Any], shape: tuple[int, int, int]) -> None:
    model = tiny.movq(config)
    pixels = normal(shape[0], 3, *shape[1:])
    ours = nnx.jit(lambda net, x: net.encode(x))(twin(model), to_jax(pixels))
    check(tiny.relative_error(channels_first(ours), model.encode(pixels).latents), MOVQ_TOLERANCE)


@pytest.mark.parametrize(
    ("activation", "end_of_text", "length"),
    [("gelu", 2, 77), ("quick_gelu", 2, 9), ("gelu", 119, 9), ("quick_gelu", 7, 9)],
)
def test_clip_text(activation: str, end_of_text: int, length: int) -> None:
    config = tiny.CLIP_TEXT | {"hidden_act": activation, "eos_token_id": end_of_text}
    model = tiny.clip_text(config)
    ids = torch.randint(8, 119, (3, length), generator=torch.Generator().manual_seed(length))
    # The end in the middle and repeated after it, at the start, and (for id 7) absent.
    ids[0, 5:] = 119 if end_of_text == 2 else end_of_text
    ids[1, 0] = 119
    embeds, states = nnx.jit(lambda net, x: net(x))(twin(model), to_jax(ids))
    theirs = model(ids)
    check(tiny.relative_error(embeds, theirs.text_embeds), CLIP_TOLERANCE)
    check(tiny.relative_error(states, theirs.last_hidden_state), CLIP_TOLERANCE)


@pytest.mark.parametrize(("activation", "batch"), [("gelu", 1), ("quick_gelu", 3)])
def test_clip_vision(activation: str, batch: int) -> None:
    model = tiny.clip_vision(tiny.CLIP_VISION | {"hidden_act": activation})
    pixels = normal(batch, 3, 42, 42)
    ours = nnx.jit(lambda net, x: net(x))(twin(model), to_jax(pixels))
    check(tiny.relative_error(ours, model(pixels).image_embeds), CLIP_TOLERANCE)


def check_half_precision(ours: jax.Array, theirs: Any, exact: Any) -> None:
    """Ours must be about as near to the float32 result as PyTorch's is in the same dtype."""
    error = tiny.relative_error(ours.astype(jnp.float32), exact)
    # On some processors PyTorch computes in float32 between its roundings to float16.
    roundings = HALF_PRECISION_ROUNDINGS * torch.finfo(theirs.dtype).eps
    check(error, max(HALF_PRECISION_FACTOR * tiny.relative_error(theirs.float(), exact), roundings))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_unet_in_half_precision(dtype: str) -> None:
    model, inputs = tiny.unet(tiny.UNET), unet_input(tiny.UNET, 2, 8, 8)
    exact = run_unet(model, *inputs)
    ours = run_unet_twin(model, dtype, *inputs)
    assert str(ours.dtype) == dtype
    check_half_precision(ours, run_unet(model.to(DTYPES[dtype]), *inputs), exact)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_prior_in_half_precision(dtype: str) -> None:
    model, inputs = tiny.prior(tiny.PRIOR), prior_input([77, 5])
    exact = run_prior(model, *inputs)
    ours = run_prior_twin(model, dtype, *inputs)
    assert str(ours.dtype) == dtype
    check_half_precision(ours, run_prior(model.to(DTYPES[dtype]), *inputs), exact)


@pytest.mark.parametrize("name", CONFIG_CLASSES)
def test_names_and_shapes_of_the_published_models(name: str) -> None:
    """All tensors of the reference's full-size model are ours, but for those known as unused."""
    reference: dict[str, Any] = {theirs.__name__: theirs for theirs in CLASSES}
    model_class = reference[CONFIG_CLASSES[name].CLASS_NAME]
    config = published_json(name)
    with torch.device("meta"):
        if hasattr(model_class, "config_class") and model_class.config_class is not None:
            model = model_class(model_class.config_class(**config))
        else:
            model = model_class.from_config(config)
    unused = unused_tensors(model_class.__name__)
    theirs = {
        tensor: tuple(value.shape)
        for tensor, value in model.state_dict().items()
        if tensor not in unused
    }
    assert expected_shapes(published_config(name)) == theirs
