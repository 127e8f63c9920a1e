"""Understands the names of tensors in LoRA files: which layer and which of its parts each one is.

A layer has the parts `down` [r, in], `up` [out, r] and sometimes `alpha`. These forms are read:

    mid_block.attentions.0.processor.to_q_lora.down.weight     diffusers' processors, to 0.29
    mid_block.attentions.0.to_q.lora.down.weight               diffusers' layers
    mid_block.attentions.0.to_q.lora_A.weight                  PEFT; A is down, B is up
    mid_block.attentions.0.to_q.lora_A.NAME.weight             PEFT, with the adapter's name within
    lora_unet_mid_block_attentions_0_to_q.lora_down.weight     kohya-ss, attention layers only

The first also comes in the authors' names of Kandinsky 3, from ai-forever/kandinsky3-diffusers:

    down_samples.1.resnet_attn_blocks.0.1.attention.processor.to_query_lora.down.weight

Each of the first four may have `unet.`, `prior.` or `base_model.model.` before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from kandinsky_core.checkpoints.kandinsky3_names import block_and_layer

__all__ = ["LoraNames", "layer_name"]

_PREFIX = re.compile(r"(?:base_model\.model\.|unet\.|prior\.)+")
# Each gives a layer and a part.
_FORMS = (
    # `to_q_lora` of a processor is a group of two: the block, and the layer in it.
    re.compile(
        r"(?P<block>.+)\.processor\.(?P<layer>\w+)_lora\.(?P<part>down|up|alpha)(?:\.weight)?"
    ),
    re.compile(r"(?P<layer>.+)\.lora(?:_linear_layer)?\.(?P<part>down|up|alpha)(?:\.weight)?"),
    re.compile(r"(?P<layer>.+)\.lora_(?P<part>[AB])(?:\.[^.]+)?\.weight"),
    re.compile(r"(?P<layer>.+)\.(?P<part>alpha)"),
)
_PARTS = {"A": "down", "B": "up"}
_AUTHORS = {"to_query": "to_q", "to_key": "to_k"}
_KOHYA = re.compile(
    r"lora_(?:unet|prior)_(?P<layer>\w+)\.(?:lora_(?P<part>down|up)\.weight|(?P<alpha>alpha))"
)
# Dots became underscores in kohya's names, so they are found again by the words between them.
_KOHYA_LAYER = re.compile(
    r"(?:(?P<blocks>down_blocks|up_blocks)_(?P<level>\d+)_attentions_(?P<index>\d+)"
    r"|(?P<mid>mid_block)_attentions_(?P<mid_index>\d+)"
    r"|(?P<prior>transformer_blocks)_(?P<prior_index>\d+)_(?P<attn>attn1)"
    r"|(?P<pooling>add_time_condition))"
    r"(?P<inner>_attention)?_(?P<kind>to_q|to_k|to_v|to_out_0|to_out|add_k_proj|add_v_proj)"
)
# What stands in such files and is no pair of matrices for a layer of the UNet or the prior.
_REASONS = (
    (
        re.compile(r"lora_magnitude_vector|dora_scale"),
        "is a DoRA, which scales the columns of each weight too: that is not supported; merge it "
        "into the model where it was trained",
    ),
    (
        re.compile(r"^(?:base_model\.model\.)?(?:text_encoder(?:_\d)?\.|text_model\.|lora_te\d?_)"),
        "changes the text encoder too, which takes no LoRA here: leave those tensors out",
    ),
    (
        re.compile(r"\.lora_B(?:\.[^.]+)?\.bias$|\.lora(?:_linear_layer)?\.up\.bias$|\.diff_b$"),
        "has biases, which a product of two matrices cannot hold: train without lora_bias",
    ),
    (
        re.compile(r"\.(?:hada_w|lokr_w|oft_|lora_mid)"),
        "is a LoHa, LoKr, OFT or of three matrices: only pairs of matrices are supported",
    ),
    (re.compile(r"custom_diffusion"), "is Custom Diffusion, which replaces whole weights"),
)


@dataclass(slots=True)
class LoraNames:
    """The names of a file, by layers.

    Attributes:
        layers: For each layer its parts, and for each part the name of its tensor.
        unknown: Names that are of no known form.
        refusal: Why the file is none that is supported, with a name; None if nothing says so.
    """

    layers: dict[str, dict[str, str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    refusal: str | None = None

    @classmethod
    def sort(cls, names: Iterable[str]) -> LoraNames:
        """Sort the names of a file's tensors."""
        found = cls()
        for name in names:
            found._add(name)
        return found

    def _add(self, name: str) -> None:
        for pattern, reason in _REASONS:
            if pattern.search(name):
                self.refusal = self.refusal or f"{reason} ({name})"
                return
        layer, part = _layer_and_part(name)
        if not layer:
            self.unknown.append(name)
            return
        parts = self.layers.setdefault(layer, {})
        if part in parts:
            self.unknown.append(f"{name} (a second {layer} {part})")
        parts[part] = name


def layer_name(name: str) -> str:
    """Return a layer's name as the networks have it, without prefixes and with `to_out.0`."""
    inner = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
    found = block_and_layer(inner)
    if found is not None:
        attention, _, projection = found[1].rpartition(".")
        inner = f"{found[0]}.{attention}.{_AUTHORS.get(projection, projection)}"
    return f"{inner}.0" if inner.endswith(".to_out") else inner


def _layer_and_part(name: str) -> tuple[str, str]:
    match = _KOHYA.fullmatch(name)
    if match is not None:
        return _kohya_layer(match["layer"]), match["part"] or match["alpha"]
    for form in _FORMS:
        match = form.fullmatch(name)
        if match is not None:
            found = match.groupdict()
            block = found.get("block")
            layer = f"{block}.{found['layer']}" if block else found["layer"]
            return layer_name(layer), _PARTS.get(found["part"], found["part"])
    return "", ""


def _kohya_layer(name: str) -> str:
    """Return the layer with its dots; empty where it is none of attention."""
    match = _KOHYA_LAYER.fullmatch(name)
    if match is None:
        return ""
    if match["blocks"]:
        block = f"{match['blocks']}.{match['level']}.attentions.{match['index']}"
    elif match["mid"]:
        block = f"{match['mid']}.attentions.{match['mid_index']}"
    elif match["prior"]:
        block = f"{match['prior']}.{match['prior_index']}.{match['attn']}"
    else:
        block = match["pooling"]
    inner = ".attention" if match["inner"] else ""
    return layer_name(f"{block}{inner}.{match['kind'].replace('to_out_0', 'to_out')}")
