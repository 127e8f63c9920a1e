"""ai-forever's files of Kandinsky 3.0 and 3.1, made from diffusers' modules.

By the inverse of the published table, written with explicit names and loops; no code of the
converter takes part in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity import tiny

torch = pytest.importorskip("torch")

# Groups and the size of heads are in no file, so they are the published ones.
UNET = tiny.KANDINSKY3_UNET | {
    "attention_head_dim": 64,
    "block_out_channels": (64, 128, 192, 256),
    "cross_attention_dim": 40,
    "groups": 32,
    "time_embedding_dim": 64,
}
MOVQ = tiny.MOVQ_DEEP | {
    "latent_channels": 4,
    "norm_num_groups": 32,
    "num_vq_embeddings": 16384,
    "vq_embed_dim": 4,
}
LEVELS, LAYERS = 4, 3
PROJECTION = "encoder_hid_proj.projection_"

Arrays = dict[str, np.ndarray]


def original_unet(state: Arrays) -> Arrays:
    """The UNet alone, without the projection of the text."""
    made: Arrays = {}

    def move(new: str, old: str) -> None:
        for leaf in ("weight", "bias"):
            if f"{new}.{leaf}" in state:
                made[f"{old}.{leaf}"] = state[f"{new}.{leaf}"]

    def attention(new: str, old: str) -> None:
        move(f"{new}.to_q", f"{old}.to_query")
        move(f"{new}.to_k", f"{old}.to_key")
        move(f"{new}.to_v", f"{old}.to_value")
        move(f"{new}.to_out.0", f"{old}.output_layer")

    def attention_block(new: str, old: str) -> None:
        attention(f"{new}.attention", f"{old}.attention")
        for layer in ("in_norm.context_mlp.1", "out_norm.context_mlp.1"):
            move(f"{new}.{layer}", f"{old}.{layer}")
        for layer in ("feed_forward.0", "feed_forward.2"):
            move(f"{new}.{layer}", f"{old}.{layer}")

    def resnet(new: str, old: str) -> None:
        for n in range(4):
            for layer in ("group_norm.context_mlp.1", "projection", "up_sample", "down_sample"):
                move(f"{new}.resnet_blocks.{n}.{layer}", f"{old}.resnet_blocks.{n}.{layer}")
        for layer in ("up_sample", "projection", "down_sample"):
            move(f"{new}.shortcut_{layer}", f"{old}.shortcut_{layer}")

    move("time_embedding.linear_1", "to_time_embed.1")
    move("time_embedding.linear_2", "to_time_embed.3")
    move("conv_in", "in_layer")
    move("conv_norm_out", "out_layer.0")
    move("conv_out", "out_layer.2")
    attention("add_time_condition.attention", "feature_pooling.attention")
    for side in ("down", "up"):
        for level in range(LEVELS):
            new, old = f"{side}_blocks.{level}", f"{side}_samples.{level}"
            if (side, level) not in {("down", 0), ("up", 3)}:
                attention_block(f"{new}.attentions.0", f"{old}.self_attention_block")
            for n in range(LAYERS):
                resnet(f"{new}.resnets_in.{n}", f"{old}.resnet_attn_blocks.{n}.0")
                if (side, level) not in {("down", 0), ("up", 3)}:
                    attention_block(f"{new}.attentions.{n + 1}", f"{old}.resnet_attn_blocks.{n}.1")
                resnet(f"{new}.resnets_out.{n}", f"{old}.resnet_attn_blocks.{n}.2")
    return made


def original_movq(state: Arrays) -> Arrays:
    """MoVQ's file, which has no codebook, and all of whose norms are nested."""
    made: Arrays = {}

    def move(new: str, old: str) -> None:
        for leaf in ("weight", "bias"):
            made[f"{old}.{leaf}"] = state[f"{new}.{leaf}"]

    def norm(new: str, old: str) -> None:
        if new.startswith("encoder"):
            move(new, f"{old}.norm_layer")
            return
        for layer in ("norm_layer", "conv_y", "conv_b"):
            move(f"{new}.{layer}", f"{old}.{layer}")

    def resnet(new: str, old: str) -> None:
        for n in "12":
            norm(f"{new}.norm{n}", f"{old}.norm{n}")
            move(f"{new}.conv{n}", f"{old}.conv{n}")
        if f"{new}.conv_shortcut.weight" in state:
            move(f"{new}.conv_shortcut", f"{old}.nin_shortcut")

    def attention(new: str, old: str) -> None:
        norm(f"{new}.{'group' if new.startswith('encoder') else 'spatial'}_norm", f"{old}.norm")
        for ours, theirs in {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
            made[f"{old}.{theirs}.weight"] = state[f"{new}.{ours}.weight"][:, :, None, None]
            made[f"{old}.{theirs}.bias"] = state[f"{new}.{ours}.bias"]

    move("quant_conv", "quant_conv")
    move("post_quant_conv", "post_quant_conv")
    for half, side, depth in (("encoder", "down", 2), ("decoder", "up", 3)):
        move(f"{half}.conv_in", f"{half}.conv_in")
        move(f"{half}.conv_out", f"{half}.conv_out")
        norm(f"{half}.conv_norm_out", f"{half}.norm_out")
        for level in range(LEVELS):
            there = level if half == "encoder" else 3 - level  # the decoder counts the other way
            new, old = f"{half}.{side}_blocks.{level}", f"{half}.{side}.{there}"
            for n in range(depth):
                resnet(f"{new}.resnets.{n}", f"{old}.block.{n}")
                if there == 3:
                    attention(f"{new}.attentions.{n}", f"{old}.attn.{n}")
            if level < 3:
                move(f"{new}.{side}samplers.0.conv", f"{old}.{side}sample.conv")
        resnet(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1")
        attention(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1")
        resnet(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2")
    return made


def projection(state: Arrays) -> Arrays:
    """The file that 3.1 has for each UNet."""
    return {
        "0.weight": state[f"{PROJECTION}linear.weight"],
        "1.weight": state[f"{PROJECTION}norm.weight"],
        "1.bias": state[f"{PROJECTION}norm.bias"],
    }


def arrays_of(model: Any) -> Arrays:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def save(path: Path, **parts: Any) -> Path:
    """A dict, of dicts perhaps, as the authors saved them."""

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: tensors(inner) for name, inner in value.items()}
        return torch.from_numpy(np.ascontiguousarray(value))

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors(parts), path)
    return path


def null_embedding(width: int = UNET["cross_attention_dim"]) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(width, np.float32)


def save_repository(
    weights: Path, unets: dict[str, Any], movq: Any, text_encoder: Any, tokenizer: Any
) -> Path:
    """The repository of 3.1, small: `unets` by the name of their files; each has its projection."""
    folder = weights / "flan_ul2_encoder"
    for name, unet in unets.items():
        state = arrays_of(unet)
        save(weights / f"{name}.pt", unet=original_unet(state), null_embedding=null_embedding())
        suffix = name.removeprefix("kandinsky3")
        save(folder / f"projection{suffix}.pt", **projection(state))
    save(weights / "movq.pt", **original_movq(arrays_of(movq)))
    config = text_encoder.config.to_dict() | {"architectures": ["T5EncoderModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: torch.from_numpy(array) for name, array in arrays_of(text_encoder).items()}
    names, table = sorted(tensors), {}
    for number in range(2):
        file = f"pytorch_model-{number + 1:05}-of-00002.bin"
        own = names[number::2]
        torch.save({name: tensors[name] for name in own}, folder / file)
        table |= dict.fromkeys(own, file)
    index = {"metadata": {}, "weight_map": table}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    tokenizer.save_pretrained(folder)
    return weights
