"""Names the programs of the full-size models, and has each of them compiled for a TPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.full_size import GUIDANCE, component
from benchmarks.tpu.layer_names import layer_names
from benchmarks.tpu.places import FarDevice, FarMesh, shapes_for_results
from kandinsky_core import DDPMScheduler, UnCLIPScheduler
from kandinsky_core.configs import NETWORKS
from kandinsky_core.seam.compilations import CompilationLog
from kandinsky_core.seam.compile_only import compile_only
from kandinsky_core.seam.dtypes import component_dtype
from kandinsky_jax.backend import CLASSES
from kandinsky_jax.runtime import at_work
from kandinsky_jax.weights.network_form import NetworkForm

__all__ = ["PARTS", "Compiled", "Part", "compile_part", "form_of"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled program.

    Attributes:
        text: What `benchmarks.tpu.compiled_text` parses.
        memory: JAX's analysis of its memory.
        flops: Operations of one device, as XLA counts them.
        seconds: How long compiling took, of the processor.
    """

    text: str
    memory: Any
    flops: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Part:
    """A network, and the call of it that is compiled.

    Attributes:
        model: The version in the manifests, or `shapes`.
        name: Its name in the manifests.
        call: Runs it, for a size in pixels and a number of pictures.
        sized: Whether the size of the picture matters.
    """

    model: str
    name: str
    call: Callable[[Any, int, int], None]
    sized: bool = True


def _zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


def _step(network: Any, sample: Any, conditioning: Mapping[str, Any], schedule: Any) -> None:
    run = network.begin(sample, conditioning, GUIDANCE, rule=schedule.rule)
    run.step(float(schedule.timesteps[0]), schedule.rows[0], sample)


def _unet(network: Any, size: int, pictures: int) -> None:
    config, rows = network.config, 2 * pictures
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012).schedule(50)
    if config.encoder_hid_dim_type == "text_image_proj":
        conditioning = {
            "image_embeds": _zeros(rows, config.image_embed_dim),
            "text_embeds": _zeros(rows, config.cross_attention_dim),
            "text_encoder_hidden_states": _zeros(rows, 77, config.encoder_hid_dim),
        }
    else:
        conditioning = {"image_embeds": _zeros(rows, config.encoder_hid_dim)}
    _step(network, _zeros(pictures, 4, size // 8, size // 8), conditioning, schedule)


def _unet_of_3(network: Any, size: int, pictures: int) -> None:
    schedule = DDPMScheduler(beta_schedule="squaredcos_cap_v2").schedule(50)
    rows, length = 2 * pictures, 128
    conditioning = {
        "text_encoder_hidden_states": _zeros(rows, length, network.config.encoder_hid_dim),
        "attention_mask": _zeros(rows, length, dtype=np.bool_),
    }
    _step(network, _zeros(pictures, 4, size // 8, size // 8), conditioning, schedule)


def _prior(network: Any, size: int, pictures: int) -> None:
    width, length, rows = (
        network.config.embedding_dim,
        network.config.num_embeddings,
        2 * pictures,
    )
    conditioning = {
        "prompt_embeds": _zeros(rows, width),
        "text_encoder_hidden_states": _zeros(rows, length, width),
        "text_mask": _zeros(rows, length, dtype=np.bool_),
    }
    schedule = UnCLIPScheduler(variance_type="fixed_small_log").schedule(25)
    _step(network, _zeros(pictures, width), conditioning, schedule)


def _decode(network: Any, size: int, pictures: int) -> None:
    network.decode(_zeros(pictures, 4, size // 8, size // 8))


def _text(network: Any, size: int, pictures: int) -> None:
    network.encode(_zeros(pictures, network.config.max_position_embeddings, dtype=np.int32))


def _masked_text(network: Any, size: int, pictures: int) -> None:
    ids = _zeros(pictures, 77, dtype=np.int32)
    network.encode(ids, np.ones_like(ids))


def _t5(network: Any, size: int, pictures: int) -> None:
    ids = _zeros(1, 128, dtype=np.int32)  # the texts come one after the other
    network.encode(ids, np.ones_like(ids))


PARTS = {
    "2.2 unet": Part("2.2", "kandinsky-2-2-decoder/unet", _unet),
    "2.2 prior": Part("2.2", "kandinsky-2-2-prior/prior", _prior, sized=False),
    "2.2 movq": Part("2.2", "kandinsky-2-2-decoder/movq", _decode),
    "2.2 text": Part("2.2", "kandinsky-2-2-prior/text_encoder", _text, sized=False),
    "2.1 unet": Part("2.1", "kandinsky-2-1/unet", _unet),
    "2.1 text": Part("2.1", "kandinsky-2-1/text_encoder", _masked_text, sized=False),
    "3 unet": Part("3.0", "kandinsky-3/unet", _unet_of_3),
    "3 text": Part("3.0", "kandinsky-3/text_encoder", _t5, sized=False),
    "shapes unet": Part("shapes", "kandinsky-2-2-decoder/unet", _unet),
}
"""The programs. The prior and CLIP of 2.1 are as large as those of 2.2, and all MoVQs are."""


def form_of(
    part: Part, dtype: str, quantize: str | None = None, changes: Mapping[str, Any] | None = None
) -> NetworkForm:
    """Return the network of a part as a pipeline has it that is asked for `dtype`."""
    source = component(part.name, part.model)
    fields = {**source.config, **(changes or {})}
    config: Any = NETWORKS[source.class_name].config.from_dict(fields)
    path, _ = CLASSES[type(config)]
    return NetworkForm(path, config, component_dtype(source.class_name, dtype), quantize=quantize)


def compile_part(
    part: Part,
    place: FarDevice | FarMesh,
    *,
    size: int = 512,
    pictures: int = 1,
    dtype: str = "bfloat16",
    quantize: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Compiled:
    """Compile the call of a part for a chip or a mesh that is not there.

    Args:
        part: The network and its call.
        place: Where it would run.
        size: Pixels of a side.
        pictures: How many are made at once.
        dtype: What is asked for; networks that lose by it compute in float32 as always.
        quantize: `int8` keeps weights in 8 bits, where the network has a form for that.
        changes: Fields of the config that differ.
    """
    form = form_of(part, dtype, quantize, changes)
    _, component_class = CLASSES[type(form.config)]
    with ExitStack() as context:
        context.enter_context(compile_only())
        context.enter_context(shapes_for_results())
        context.enter_context(layer_names())
        context.enter_context(at_work(place.name))
        network = component_class(form, form.abstract(), place=place, log=CompilationLog())
        start = time.process_time()
        part.call(network, size, pictures)
        seconds = time.process_time() - start
    made = [
        compiled
        for key, program in network._programs.items()
        if key != "prepare"  # runs once for a request
        for compiled in program._compiled
    ]
    (compiled,) = made
    cost: Any = compiled.cost_analysis() or {}
    return Compiled(
        compiled.as_text(), compiled.memory_analysis(), float(cost.get("flops", 0.0)), seconds
    )
