"""Names the programs of which graphs are made: a network, and the inputs of one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mindspore as ms

from benchmarks.ascend.graph_text import Node, parse
from benchmarks.ascend.tracing import network_without_weights, traced
from benchmarks.full_size import component
from kandinsky_core.configs import NETWORKS
from kandinsky_core.seam.dtypes import component_dtype
from kandinsky_core.seam.quantization import Quantize
from kandinsky_mindspore.backend import CLASSES

__all__ = ["PROGRAMS", "Program", "dtype_of", "graph_of", "graph_of_network"]

# name -> (its shape, its dtype; None is that of the network)
Inputs = dict[str, tuple[tuple[int, ...], str | None]]


@dataclass(frozen=True, slots=True)
class Program:
    """A network in its published size, or in that of `shapes`.

    Attributes:
        model: The version in the manifests, or `shapes`.
        name: Its name in the manifests.
        sized: Whether the size of the picture matters.
    """

    model: str
    name: str
    sized: bool = True


PROGRAMS = {
    "shapes unet": Program("shapes", "kandinsky-2-2-decoder/unet"),
    "2.2 unet": Program("2.2", "kandinsky-2-2-decoder/unet"),
    "2.2 prior": Program("2.2", "kandinsky-2-2-prior/prior", sized=False),
    "2.2 text": Program("2.2", "kandinsky-2-2-prior/text_encoder", sized=False),
    "2.1 unet": Program("2.1", "kandinsky-2-1/unet"),
    "2.1 prior": Program("2.1", "kandinsky-2-1-prior/prior", sized=False),
    "2.1 prior text": Program("2.1", "kandinsky-2-1-prior/text_encoder", sized=False),
    "3 unet": Program("3.0", "kandinsky-3/unet"),
    "3 text": Program("3.0", "kandinsky-3/text_encoder", sized=False),
}
"""The programs, by the names of the command line.

MindSpore cannot compile mindone's MoVQ, nor its XLM-R, which encodes texts for the UNet of 2.1.
"""


def dtype_of(program: Program, dtype: str) -> str:
    """Return the dtype that a network computes in on an NPU; some lose by the one asked for."""
    return component_dtype(component(program.name, program.model).class_name, dtype)


def graph_of(
    program: Program, dtype: str, size: int, changes: Mapping[str, Any] | None = None
) -> list[Node]:
    """Return the operators of a program of one picture with guidance.

    Args:
        program: The network.
        dtype: What is asked for; see `dtype_of`.
        size: Pixels of a side.
        changes: Fields of the config that differ.
    """
    source = component(program.name, program.model)
    fields = {**source.config, **(changes or {})}
    config: Any = NETWORKS[source.class_name].config.from_dict(fields)
    return graph_of_network(config, dtype_of(program, dtype), size // 8)


def graph_of_network(
    config: Any, dtype: str, side: int, *, rows: int = 2, quantize: Quantize = None
) -> list[Node]:
    """Return the operators of one call of a network.

    Args:
        config: The network's config.
        dtype: The dtype of its weights.
        side: Cells of a side of the latents.
        rows: How many pictures it is given; an encoder always has one text.
        quantize: How its weights are kept.
    """
    network = network_without_weights(CLASSES[type(config)], config, dtype, quantize)
    make = _CALLS[config.CLASS_NAME]
    function, inputs = make(network, side, rows)
    tensors = [
        ms.mint.zeros(shape, dtype=getattr(ms, kind or dtype)) for shape, kind in inputs.values()
    ]
    return parse(traced(function, *tensors))


Call = tuple[Callable[..., Any], Inputs]


def _unet(network: Any, side: int, rows: int) -> Call:
    config = network.config
    inputs: Inputs = {
        "sample": ((rows, 4, side, side), None),
        "timestep": ((rows,), "float32"),
        "image_embeds": ((rows, config.image_embed_dim or config.encoder_hid_dim), None),
    }
    if config.takes_text:
        inputs["text_embeds"] = ((rows, config.cross_attention_dim), None)
        inputs["text_encoder_hidden_states"] = ((rows, 77, config.encoder_hid_dim), None)
    return network._run, inputs


def _unet_of_3(network: Any, side: int, rows: int) -> Call:
    config = network.config
    return network._run, {
        "sample": ((rows, 4, side, side), None),
        "timestep": ((rows,), "float32"),
        "context": ((rows, 128, config.cross_attention_dim), None),
        "bias": ((rows, 1, 128), None),
        "embedding": ((rows, config.time_embedding_dim), None),
    }


def _prior(network: Any, side: int, rows: int) -> Call:
    width, length = network.config.embedding_dim, network.config.num_embeddings
    return network._run, {
        "sample": ((rows, width), None),
        "timestep": ((rows,), "float32"),
        "prompt_embeds": ((rows, width), None),
        "text_encoder_hidden_states": ((rows, length, width), None),
        "text_mask": ((rows, length), "bool_"),
    }


def _t5(network: Any, side: int, rows: int) -> Call:
    cell = network._cell

    def encode(ids: Any, mask: Any) -> Any:
        # Without a tuple mindone makes an object, and the graph has Python code in it.
        return cell(ids, mask, return_dict=False)[0]

    return encode, {"ids": ((1, 128), "int32"), "mask": ((1, 128), "int32")}


def _clip_text(network: Any, side: int, rows: int) -> Call:
    cell = network._cell

    def encode(ids: Any) -> Any:
        return cell(ids)[:2]

    return encode, {"ids": ((1, 77), "int32")}


_CALLS: dict[str, Callable[[Any, int, int], Call]] = {
    "CLIPTextModelWithProjection": _clip_text,
    "Kandinsky3UNet": _unet_of_3,
    "PriorTransformer": _prior,
    "T5EncoderModel": _t5,
    "UNet2DConditionModel": _unet,
}
