"""Kandinsky 3's IP-Adapter against numbers of the authors' own code, on both backends."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky_core import DDPMScheduler, Kandinsky3Pipeline, KandinskyV3PipelineIpAdapter
from kandinsky_core.arrays import Array
from kandinsky_core.pictures.clip_images import clip_pixels
from kandinsky_core.pipelines.shared import decoder
from kandinsky_core.schedulers.schedule import make_rows
from tests.support.backends import BACKENDS, needs
from tests.support.dict_tensors import DictTensors
from tests.support.kandinsky3_ip_adapter_folder import GOLDEN, UNET, unet_tensors, write_ip_adapter
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)
# A row under which the sample becomes the network's output.
OUTPUT = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
WEIGHTS = {"0": 0, "0p5": 0.5, "1": 1}  # of the picture, by the names of arrays
LOOPS: dict[str, dict[str, Any]] = {
    "loop_default": {},
    "loop_negative_cut": {
        "negative_prompt": "the negative",
        "cut_context": True,
        "img_weight": 0.5,
    },
}


def golden(name: str) -> dict[str, Array]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def source(class_name: str, config: dict[str, Any], tensors: dict[str, Array]) -> Any:
    return SimpleNamespace(
        class_name=class_name, config=config, tensors=lambda: DictTensors(tensors), name="it"
    )


@pytest.fixture(scope="module")
def networks(backend_of: Callable[[str], Any]) -> Callable[[str], Any]:
    """UNet and image encoder of a backend, loaded once."""

    @cache
    def load(name: str) -> Any:
        backend, config = backend_of(name), stored("image_encoder_config")
        encoder = load_file(GOLDEN / "image_encoder.safetensors")
        clip = source("CLIPVisionModelWithProjection", config, encoder)
        unet = source("Kandinsky3UNet", UNET, unet_tensors())
        return SimpleNamespace(
            unet=backend.load(unet, "float32"), encoder=backend.load(clip, "float32")
        )

    return load


def relative(found: Array, wanted: Array) -> float:
    error = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    LOG.info("relative L2 error %.2g", error)
    return error


class Texts:
    """Tokenizer and text encoder that look up the raw states of the loop."""

    pad_token_id = 0
    dtype = "float32"
    config = SimpleNamespace(vocab_size=10**6, d_model=24)

    def __init__(self, loop: dict[str, Array]) -> None:
        self.loop = loop
        self.prefix = {"the prompt": "", "the negative": "negative_"}

    def __call__(self, texts: list[str]) -> tuple[Array, Array]:
        masks = [self.loop[f"{self.prefix[text]}mask"][0] > 0 for text in texts]
        ids = [np.full(128, list(self.prefix).index(text)) for text in texts]
        return np.stack(ids), np.stack(masks)

    def encode(self, ids: Array, mask: Array) -> Array:
        names = list(self.prefix.values())
        return np.stack([self.loop[f"{names[row[0]]}states"][0] for row in ids])


@pytest.mark.slow(seconds=6)
@needs("jax")
def test_adapter_of_a_loaded_pipeline(backend_of: Callable[[str], Any], tmp_path: Path) -> None:
    """It is taken out and put in again, and the config that is saved says which of both."""
    fork = write_ip_adapter(tmp_path / "fork")
    pipe = Kandinsky3Pipeline.from_pretrained(
        fork, backend=backend_of("jax"), tokenizer=None, text_encoder=None
    )
    wanted, before = unet_tensors(), pipe.unet
    pipe.unload_ip_adapter()
    assert pipe.convention == "diffusers"
    assert (pipe.image_encoder, pipe.feature_extractor) == (None, None)
    ours = {name for name in wanted if ".ip_adapter." in name or ".image_projection." in name}
    assert set(pipe.unet.weight_shapes()) == set(wanted) - ours
    assert "num_image_tokens" not in pipe.unet._config_file
    pipe.load_ip_adapter([fork], subfolder="unet", weight_name="diffusion_pytorch_model.bin")
    assert pipe.convention == "adapters"
    assert pipe.image_encoder.config.projection_dim == 16
    assert pipe.unet.config == before.config
    assert pipe.unet._config_file["num_image_tokens"] == 4
    for name, array in pipe.unet.read_weights(wanted).items():
        np.testing.assert_array_equal(array, wanted[name])


class Movq:
    """The facts of MoVQ that a loop needs; latents are not decoded."""

    scale_factor, tiling, dtype = 8, None, "float32"
    config = SimpleNamespace(latent_channels=4)

    def memory(self) -> None:
        return None


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize("backend", BACKENDS)
def test_image_encoder(networks: Callable[[str], Any], backend: str) -> None:
    wanted, config = golden("image_embedding"), stored("preprocessor_config")
    encoder = networks(backend).encoder
    zero = np.zeros((1, 3, 32, 32), np.float32)
    assert relative(encoder.encode(zero), wanted["zero_embed"]) < allowed("ip image encoder")
    for number in ("1", "2"):
        pixels = clip_pixels("image", wanted[f"image{number}"], config)
        np.testing.assert_array_equal(pixels, wanted[f"pixel_values{number}"])
        embeds = encoder.encode(pixels)
        assert relative(embeds, wanted[f"embed{number}"]) < allowed("ip image encoder")


@needs("jax")
@pytest.mark.slow(seconds=3)
def test_layers_on_jax(networks: Callable[[str], Any]) -> None:
    """Image tokens, and one attention at each weight of the picture."""
    from kandinsky_jax.networks.kandinsky3_image_prompt import TextAndImage

    unet, wanted = networks("jax").unet, golden("unet")
    module: Any = unet._form.build(unet._weights)
    image = module.encoder_hid_proj.image_projection(wanted["image_embeds"])
    assert relative(np.asarray(image), wanted["image_tokens"]) < allowed("ip image encoder")
    attention = module.down_blocks[1].attentions[1].attention
    bias = np.where(wanted["mask"] > 0, 0, np.finfo(np.float32).min)[:, None, None]
    for name, weight in WEIGHTS.items():
        read = TextAndImage(wanted["context"], image, np.full(2, weight, np.float32))
        found = attention(wanted["attn_layer_query_input"], attention.prepare(read), bias)
        assert relative(np.asarray(found), wanted[f"attn_out_{name}"]) < allowed("ip image encoder")


@needs("mindspore")
@pytest.mark.slow(seconds=3)
def test_layers_on_mindspore(networks: Callable[[str], Any]) -> None:
    """See `test_layers_on_jax`."""
    from kandinsky_mindspore.networks.kandinsky3_image_prompt import with_image

    unet, wanted = networks("mindspore").unet, golden("unet")
    context = unet.tensor(wanted["context"])
    bias = unet.tensor(np.where(wanted["mask"] > 0, 0, -3e38).astype(np.float32)[:, None])
    attention = unet._cell.down_blocks[1].attentions[1].attention
    for name, weight in WEIGHTS.items():
        given = {"image_embeds": unet.tensor(wanted["image_embeds"])}
        given["image_weight"] = unet.tensor(np.full(2, weight, np.float32))
        read, seen = with_image(unet._cell, context, bias, given)
        tokens = read[:, -4:].asnumpy()
        assert relative(tokens, wanted["image_tokens"]) < allowed("ip image encoder")
        found = attention(unet.tensor(wanted["attn_layer_query_input"]), read, seen).asnumpy()
        assert relative(found, wanted[f"attn_out_{name}"]) < allowed("ip image encoder")


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize("backend", BACKENDS)
def test_unet(networks: Callable[[str], Any], backend: str) -> None:
    """Weights of the picture, and on JAX all steps of the loops; nothing is compiled anew."""
    unet, wanted = networks(backend).unet, golden("unet")
    given = {
        "text_encoder_hidden_states": wanted["states"],
        "attention_mask": wanted["mask"] > 0,
        "projected_mask": np.ones(wanted["mask"].shape, bool),
        "image_embeds": wanted["image_embeds"],
    }
    time = wanted["timesteps"][0]
    calls = [
        (wanted["x"], time, given | {"image_weight": weight}, wanted[f"out_img_weight_{name}"])
        for name, weight in WEIGHTS.items()
    ]
    for name in LOOPS if backend == "jax" else ():  # slow eagerly; `test_loop` runs them too
        loop = golden(name)
        starts = [loop["latents"], *loop["latents_after"]]
        for start, time, output in zip(starts, loop["timesteps"], loop["unet_out"], strict=False):
            calls.append((np.repeat(start, 2, axis=0), time, told(loop), output))
    compiled = set()
    for sample, time, conditioning, output in calls:
        conditioning["image_weight"] = np.full(2, conditioning["image_weight"], np.float32)
        rows = predicted(unet, sample, time, conditioning)
        for found, theirs in zip(rows, output, strict=True):
            assert relative(found, theirs) < allowed("3 guided unet")
        compiled.add(len(unet.compilations or ()))
    assert len(compiled) == 1, "weights and texts are data"


def predicted(unet: Any, sample: Array, time: Any, given: dict[str, Array]) -> Any:
    """The outputs of two rows.

    JAX computes each by the program of a guided loop, which `test_loop` needs too: guidance
    between two equal rows changes nothing.
    """
    if unet.backend_name != "jax":
        return unet.output(sample, float(time), given)
    rows = []
    for row in range(2):
        both = {name: np.repeat(array[row : row + 1], 2, 0) for name, array in given.items()}
        run = unet.begin(sample[row : row + 1], both, 2.0)
        run.step(float(time), OUTPUT, None)
        rows.append(run.read()[0])
    return rows


def told(loop: dict[str, Array]) -> dict[str, Array]:
    """What the UNet reads in a loop of the original; texts are projected by the UNet here."""
    states, mask = loop["states"], loop["mask"]
    states = np.concatenate([loop.get("negative_states", 0 * states), states * mask[..., None]])
    seen = np.concatenate([loop.get("negative_mask", 0 * mask), mask]) > 0
    length = loop["context"].shape[1]
    np.testing.assert_array_equal(seen[:, :length], loop["context_mask"])
    projected = seen.copy()
    projected[1] = True
    return {
        "text_encoder_hidden_states": states[:, :length].astype(np.float32),
        "attention_mask": seen[:, :length],
        "projected_mask": projected[:, :length],
        "image_embeds": loop["image_features"],
        "image_weight": loop["img_weight"],
    }


@pytest.mark.slow(seconds=6)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LOOPS)
def test_loop(
    networks: Callable[[str], Any], backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step begins with the original's latents, as guidance multiplies errors by 15."""
    loop, images = golden(name), golden("image_embedding")
    texts = Texts(loop)
    pipe = KandinskyV3PipelineIpAdapter(
        tokenizer=texts,
        text_encoder=texts,
        unet=networks(backend).unet,
        scheduler=DDPMScheduler.from_config(stored("scheduler_config")),
        movq=Movq(),
        image_encoder=networks(backend).encoder,
        feature_extractor=stored("preprocessor_config"),
    )
    pipe.set_progress_bar_config(disable=True)
    noise = iter(loop["noise"])
    monkeypatch.setattr(decoder, "draw_normal", lambda *_: next(noise))

    def check(_: Any, index: int, timestep: int, values: dict[str, Array]) -> dict[str, Array]:
        wanted = loop["latents_after"][index]
        difference = np.abs(values["latents"] - wanted).max()
        LOG.info("%s, %s, t=%d: %.2g", backend, name, timestep, difference)
        assert difference < allowed("ip latents")
        assert timestep == loop["timesteps"][index]
        return {"latents": wanted}

    pipe(
        "the prompt",
        weights=images["weights"].tolist(),
        img=[images["image1"], images["image2"]],
        num_inference_steps=3,
        height=64,
        width=128,
        latents=loop["latents"],
        output_type="latent",
        callback_on_step_end=check,
        **LOOPS[name],
    )
    assert next(noise, None) is None
