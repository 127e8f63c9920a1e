"""The ControlNet of Kandinsky 3 against numbers of the authors' own code, on both backends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from kandinsky_converters.originals import kandinsky3
from kandinsky_converters.originals.kandinsky3_fork import fork_config
from kandinsky_converters.originals.tensors import OriginalTensors
from kandinsky_core import DDPMScheduler
from kandinsky_core.arrays import Array
from kandinsky_core.pipelines.kandinsky3.control_numbers import ControlNumbers
from kandinsky_core.pipelines.kandinsky3.controlnet import Kandinsky3ControlNetPipeline
from kandinsky_core.pipelines.shared import decoder
from kandinsky_core.schedulers.schedule import make_rows
from tests.support.backends import BACKENDS, needs
from tests.support.dict_tensors import DictTensors
from tests.support.fakes import FakeAutoencoder
from tests.support.kandinsky3_fork_folder import (
    CONTROL_DATA,
    LORA_DATA,
    fork_config_of,
    fork_weights,
)
from tests.support.kandinsky3_ip_adapter_folder import original_unet
from tests.support.tolerances import allowed

LOG = logging.getLogger(__name__)


def golden(name: str) -> dict[str, Array]:
    with np.load(CONTROL_DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def source(name: str) -> Any:
    """A network of the fork under this library's names."""
    branch = name == "unet_controlnet"
    arrays = original_unet() if name == "unet_ip_adapter" else fork_weights(name)
    tensors = OriginalTensors("controlnet3" if branch else "unet3", DictTensors(arrays))
    class_name = "Kandinsky3ControlNetModel" if branch else "Kandinsky3UNet"
    config = fork_config(fork_config_of(name.removesuffix("_ip_adapter")), tensors)
    return SimpleNamespace(class_name=class_name, config=config, tensors=lambda: tensors)


@pytest.fixture(scope="module")
def load(backend_of: Callable[[str], Any]) -> Callable[[str, str], Any]:
    """Networks of the original by name, each loaded once for each backend."""
    loaded: dict[tuple[str, str], Any] = {}

    def find(backend: str, name: str) -> Any:
        if (backend, name) not in loaded:
            loaded[backend, name] = backend_of(backend).load(source(name), "float32")
        return loaded[backend, name]

    return find


def error_of(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def states_of(context: Array) -> Array:
    """Text states that the small UNet projects to a context; the original starts behind that.

    A layer norm whose variance v became v / (v + 1e-5) tells the scale of its input.
    """
    weights = {name: array.astype(np.float64) for name, array in fork_weights("unet").items()}
    norm = (context - weights["projection_ln.bias"]) / weights["projection_ln.weight"]
    scale = np.sqrt(1e-5 / (1 - norm.var(axis=-1, keepdims=True)))
    matrix = np.concatenate([weights["projection_lin.weight"], -np.ones((32, 1))], axis=1)
    flat = (norm * scale).reshape(-1, 32)
    found = np.linalg.lstsq(matrix, flat.T, rcond=None)[0].T[:, :-1]
    return found.reshape(*context.shape[:2], -1).astype(np.float32)


def conditioning(wanted: dict[str, Array], scale: Any) -> dict[str, Array]:
    """What UNet and branch are given for two rows of 8 x 16 latents."""
    hint = golden("branch")["hint_uint8"][None].astype(np.float32) / 255
    found = {
        "text_encoder_hidden_states": states_of(wanted["context"]),
        "attention_mask": wanted["mask"] > 0,
        "hint": np.repeat(hint, 2, axis=0),
    }
    if scale is None:  # as the pipeline tells it
        return found | {"projected_mask": np.ones(wanted["mask"].shape, np.bool_)}
    numbers = ControlNumbers.check(scale, 0, 1)
    schedule = DDPMScheduler().schedule(1000)
    return found | numbers.conditioning(schedule, (4, 8, 16), 3, 2)


def twice(told: dict[str, Array]) -> dict[str, Array]:
    return {name: np.concatenate([array, array]) for name, array in told.items()}


def guided(network: Any, wanted: dict[str, Array], told: dict[str, Array]) -> Array:
    """Run the program of a guided step, whose halves are the same: guidance changes nothing."""
    row = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]
    run = network.begin(wanted["x"], twice(told), 8.0, guidance_rescale=0.0)
    run.step(float(wanted["timesteps"][0]), row, None)
    return run.read()


@needs("mindspore")
@pytest.mark.slow(seconds=3)
def test_within_the_branch(load: Callable[..., Any]) -> None:
    """Where an error arises; eagerly, as JAX would have to compile the branch for itself."""
    import mindspore as ms

    wanted = golden("branch")
    branch = load("mindspore", "unet_controlnet")
    network = branch.beside(load("mindspore", "unet"))
    told = network.prepare(network.tensors(conditioning(wanted, 1.0)))["branch"]
    time = ms.Tensor(wanted["timesteps"].astype(np.float32))
    sinusoid = branch._cell.time_embedding(branch._cell.time_proj(time))
    found = {
        "hint_stem_out": told["hint"][:1],
        "time_embed_before_pooling": sinusoid,
        "time_embed": sinusoid + told["embedding"],
    }
    residuals = branch.predict(ms.Tensor(wanted["x"]), time, told)
    found |= {f"residual{level}": array for level, array in enumerate(residuals)}
    for name, array in found.items():
        assert error_of(array.asnumpy(), wanted[name]) <= allowed("3 controlnet"), name


@needs("jax")
@pytest.mark.slow(seconds=2)
def test_the_hint_and_the_text_of_a_run(load: Callable[..., Any]) -> None:
    """What the branch computes once a run; of the UNet for edges the hint alone."""
    wanted = golden("branch")
    network = load("jax", "unet_controlnet").beside(load("jax", "unet"))
    run = network.begin(wanted["x"], twice(conditioning(wanted, 1.0)), 8.0, guidance_rescale=0.0)
    told = run._prepared.branch
    pooled = wanted["time_embed"] - wanted["time_embed_before_pooling"]
    assert error_of(np.asarray(told.embedding[:2]), pooled) <= allowed("3 controlnet")
    stem = wanted["hint_stem_out"][0].transpose(1, 2, 0)
    assert error_of(np.asarray(told.hint[0]), stem) <= allowed("3 controlnet")


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_unet_with_its_branch(load: Callable[..., Any], backend: str) -> None:
    """Scales are numbers: one program serves them all, and a map too."""
    wanted = golden("branch")
    network = load(backend, "unet_controlnet").beside(load(backend, "unet"))
    log = load(backend, "unet").compilations
    compiled: list[int] = []
    scales = {"k_0": 0.0, "k_0p5": 0.5, "k_1": 1.0, "k_map": wanted["k_map"]}
    for name, scale in scales.items():
        found = guided(network, wanted, conditioning(wanted, scale))
        error = error_of(found, wanted[f"unet_out_{name}"])
        LOG.info("%s, %s: %.2g", backend, name, error)
        assert error <= allowed("3 controlnet")
        compiled.append(0 if log is None else len(log))
    assert len(set(compiled)) == 1


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_unet_that_reads_edges(load: Callable[..., Any], backend: str) -> None:
    wanted = golden("hed")
    found = guided(load(backend, "unet_hed"), wanted, conditioning(wanted, None))
    error = error_of(found, wanted["out"])
    LOG.info("%s: %.2g", backend, error)
    assert error <= allowed("3 controlnet")


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["default", "window", "rescale", "hed"])
def test_pictures(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, backend: str, name: str
) -> None:
    """Two pictures of one prompt, from the original's text states and noise.

    Each step begins with the original's latents: guidance multiplies the last bits.
    """
    wanted = golden(f"loop_{name}")
    hed = name == "hed"
    pipe = Kandinsky3ControlNetPipeline(
        None,
        None,
        load(backend, "unet_hed" if hed else "unet"),
        DDPMScheduler(
            beta_schedule="squaredcos_cap_v2", timestep_spacing="leading", steps_offset=1
        ),
        FakeAutoencoder(block_out_channels=(8, 8, 8, 8), latent_channels=4),
        None if hed else load(backend, "unet_controlnet"),
    )
    pipe.set_progress_bar_config(disable=True)
    noise = iter(np.repeat(wanted["noise"], 2, axis=1))
    monkeypatch.setattr(decoder, "draw_normal", lambda *_: next(noise))
    found: list[Array] = []

    def keep(_: Any, index: int, time: int, values: dict[str, Array]) -> dict[str, Array]:
        assert (index, time) == (len(found), wanted["timesteps"][index])
        found.append(values["latents"])
        return {"latents": np.repeat(wanted["latents_after"][index], 2, axis=0)}

    given = {
        "prompt_embeds": (wanted["states"] * wanted["mask"][..., None])[:, :8],
        "attention_mask": wanted["mask"][:, :8],
        "num_inference_steps": 3,
        "guidance_scale": float(wanted["guidance_scale"]),
    }
    if not hed:
        mask = wanted["negative_mask"]
        given |= {
            "negative_prompt_embeds": wanted["negative_states"] * mask[..., None],
            "negative_attention_mask": mask,
            "controlnet_conditioning_scale": float(wanted["k"]),
            **{
                name: float(wanted[name])
                for name in ("control_guidance_start", "control_guidance_end", "guidance_rescale")
            },
        }
    log = pipe.unet.compilations or []
    before = len(log)
    pipe(
        image=golden("branch")["hint_uint8"],
        height=64,
        width=128,
        num_images_per_prompt=2,
        latents=np.repeat(wanted["latents"], 2, axis=0),
        output_type="latent",
        callback_on_step_end=keep,
        **given,
    )
    programs = [(entry.program, entry.shape) for entry in log[before:]]
    assert len(programs) == len(set(programs)), "no number is a reason to compile again"
    for step, latents in enumerate(found):
        error = max(error_of(row, wanted["latents_after"][step, 0]) for row in latents)
        LOG.info("%s, %s, step %s: %.2g", backend, name, step, error)
        assert error <= allowed("3 controlnet latents")


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_branch_is_not_shown_the_image_tokens_of_the_unet(
    load: Callable[..., Any], backend: str
) -> None:
    """Without weight, picture and residuals are as the original has them without a picture."""
    wanted = golden("branch")
    unet = load(backend, "unet_ip_adapter")
    network = load(backend, "unet_controlnet").beside(unet)
    picture = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 16)

    def told(weight: float, scale: float | None) -> dict[str, Array]:
        weights = np.full(2, weight, np.float32)
        found = conditioning(wanted, scale) | {"image_embeds": picture, "image_weight": weights}
        return found if scale is not None else {k: v for k, v in found.items() if k != "hint"}

    unmoved = guided(network, wanted, told(0, 1))
    assert error_of(unmoved, wanted["unet_out_k_1"]) <= allowed("3 controlnet, guided")
    alone = guided(unet, wanted, told(1, None))
    assert error_of(guided(network, wanted, told(1, 0)), alone) <= allowed("3 controlnet, guided")
    both = guided(network, wanted, told(1, 1))
    assert min(error_of(both, alone), error_of(both, unmoved)) > 100 * allowed("3 controlnet")


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize("backend", BACKENDS)
def test_loras_beside_an_ip_adapter_and_a_branch(load: Callable[..., Any], backend: str) -> None:
    """LoRAs of both networks give what weights merged by hand give; no scale compiles anew."""
    wanted = golden("branch")
    unet, branch = (load(backend, name) for name in ("unet_ip_adapter", "unet_controlnet"))
    network = branch.beside(unet)
    picture = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 16)
    weights = np.ones(2, np.float32)
    told = conditioning(wanted, 1) | {"image_embeds": picture, "image_weight": weights}
    loras = {unet: load_file(LORA_DATA / "lora.safetensors")}
    elsewhere = ("up_samples", "down_samples.3")  # the branch ends with the third level
    loras[branch] = {k: v for k, v in loras[unet].items() if not k.startswith(elsewhere)}
    plain = guided(network, wanted, told)
    programs = len(unet.compilations or ())
    for scales in ((0.5, 1.0), (1.0, -0.25)):
        found = {}
        for one, scale in zip((unet, branch), scales, strict=True):
            one.load_lora_adapter(loras[one], prefix=None, adapter_name="theirs")
            one.set_adapters("theirs", scale)
        found["lora"] = guided(network, wanted, told)
        for one, scale in zip((unet, branch), scales, strict=True):
            one.unload_lora()
            one.update_weights(merged_by_hand(one, loras[one], scale))
        found["by hand"] = guided(network, wanted, told)
        for one in (unet, branch):
            one.restore_weights()
        error = error_of(found["lora"], found["by hand"])
        LOG.info("%s, scales %s: %.2g", backend, scales, error)
        assert error <= allowed("3 controlnet")
        assert error_of(found["lora"], plain) > 1000 * allowed("3 controlnet")
    assert len(unet.compilations or ()) == programs, "a scale or a LoRA compiled anew"
    np.testing.assert_array_equal(guided(network, wanted, told), plain)


def merged_by_hand(network: Any, lora: dict[str, Array], scale: float) -> dict[str, Array]:
    """W + s up @ down of each projection, whose original names stand beside the LoRA's."""
    found = {}
    layers = {"query": "to_query", "key": "to_key", "v": "to_value", "out": "output_layer"}
    for key, down in lora.items():
        if not key.endswith(".down.weight"):
            continue
        place, _, kind = key.removesuffix("_lora.down.weight").partition(".processor.to_")
        ((name, _),) = kandinsky3.unet(f"{place}.{layers[kind]}.weight")
        up = lora[key.replace(".down.", ".up.")]
        found[name] = network.read_weights([name])[name] + np.float32(scale) * (up @ down)
    return found
