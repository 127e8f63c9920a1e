"""Rules that map the tensors of ai-forever's files of Kandinsky 2.1 to diffusers' tensors.

docs/converter.md lists the rules and their sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kandinsky_converters.originals.piece import Piece

__all__ = ["movq", "prior", "statistics", "unet"]


def prior(name: str) -> Iterator[tuple[str, Piece]]:
    inner = name.removeprefix("model.")
    if inner in _PRIOR_TABLES:
        yield _PRIOR_TABLES[inner], Piece(name)
        return
    layer, _, leaf = inner.rpartition(".")
    if layer in _PRIOR_LAYERS:
        yield f"{_PRIOR_LAYERS[layer]}.{leaf}", Piece(name)
    match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", layer)
    if match is None:
        return
    block = f"transformer_blocks.{match[1]}"
    if match[2] == "attn.c_qkv":
        for part, target in enumerate(("to_q", "to_k", "to_v")):
            yield f"{block}.attn1.{target}.{leaf}", Piece(name, part, 3)
    elif match[2] in _PRIOR_BLOCK:
        yield f"{block}.{_PRIOR_BLOCK[match[2]]}.{leaf}", Piece(name)


_PRIOR_TABLES = {"positional_embedding": "positional_embedding", "prd_emb": "prd_embedding"}
_PRIOR_LAYERS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "clip_img_proj": "proj_in",
    "text_emb_proj": "embedding_proj",
    "text_enc_proj": "encoder_hidden_states_proj",
    "final_ln": "norm_out",
    "out_proj": "proj_to_clip_embeddings",
}
_PRIOR_BLOCK = {
    "ln_1": "norm1",
    "ln_2": "norm3",
    "attn.c_proj": "attn1.to_out.0",
    "mlp.c_fc": "ff.net.0.proj",
    "mlp.c_proj": "ff.net.2",
}


def unet(name: str, resnets: int = 3) -> Iterator[tuple[str, Piece]]:
    """Map the UNet's tensors; a level has so many residual blocks, and on the way up one more."""
    layer, _, leaf = name.rpartition(".")
    if layer in _UNET_LAYERS:
        yield f"{_UNET_LAYERS[layer]}.{leaf}", Piece(name)
        return
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", layer)
    middle = re.fullmatch(r"middle_block\.(\d)\.(.+)", layer)
    if match is not None:
        block = _unet_block(match[1], int(match[2]), int(match[3]), resnets)
        inner = match[4]
    elif middle is not None and int(middle[1]) < 3:
        block = ("resnets.0", "attentions.0", "resnets.1")[int(middle[1])]
        block, inner = f"mid_block.{block}", middle[2]
    else:
        return
    if inner in _UNET_RESNET and block is not None and "attentions" not in block:
        yield f"{block}.{_UNET_RESNET[inner]}.{leaf}", Piece(name)
    elif inner in _UNET_ATTENTION and block is not None and "attentions" in block:
        targets = _UNET_ATTENTION[inner]
        for part, target in enumerate(targets):
            flat = leaf == "weight" and inner != "norm"
            yield f"{block}.{target}.{leaf}", Piece(name, part, len(targets), flat=flat)


def _unet_block(side: str, index: int, place: int, resnets: int) -> str | None:
    """Return diffusers' name of a module."""
    if side == "input":
        level, number = divmod(index - 1, resnets + 1)
        inner = number < resnets
        names = [f"resnets.{number}" if inner else "downsamplers.0", f"attentions.{number}"]
        allowed = index > 0 and (place == 0 or inner)
    else:
        level, number = divmod(index, resnets + 1)
        names = [f"resnets.{number}", f"attentions.{number}", "upsamplers.0"]
        allowed = place < 2 or number == resnets
    if place >= len(names) or not allowed:
        return None
    return f"{'down' if side == 'input' else 'up'}_blocks.{level}.{names[place]}"


_UNET_LAYERS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "clip_to_seq": "encoder_hid_proj.image_embeds",
    "to_model_dim_n": "encoder_hid_proj.text_proj",
    "proj_n": "add_embedding.text_proj",
    "ln_model_n": "add_embedding.text_norm",
    "img_layer": "add_embedding.image_proj",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_UNET_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET_ATTENTION = {
    "norm": ("group_norm",),
    "qkv": ("to_q", "to_k", "to_v"),
    "encoder_kv": ("add_k_proj", "add_v_proj"),
    "proj_out": ("to_out.0",),
}


def movq(name: str) -> Iterator[tuple[str, Piece]]:
    if name == "quantize.embedding.weight" or name.split(".")[0] in (
        "quant_conv",
        "post_quant_conv",
    ):
        yield name, Piece(name)
        return
    half, _, inner = name.partition(".")
    if half not in ("encoder", "decoder"):
        return
    match = re.fullmatch(r"(conv_in|conv_out|norm_out)\.(.+)", inner)
    if match is not None:
        yield f"{half}.{match[1].replace('norm_out', 'conv_norm_out')}.{match[2]}", Piece(name)
        return
    match = re.fullmatch(r"mid\.(block_1|attn_1|block_2)\.(.+)", inner)
    if match is not None:
        places = {"block_1": "resnets.0", "attn_1": "attentions.0", "block_2": "resnets.1"}
        block, rest = f"{half}.mid_block.{places[match[1]]}", match[2]
    else:
        found = re.fullmatch(r"(down|up)\.(\d)\.(block|attn)\.(\d)\.(.+)", inner)
        if found is None:
            yield from _movq_resampling(name, half, inner)
            return
        level = int(found[2]) if half == "encoder" else 3 - int(found[2])
        kind = "resnets" if found[3] == "block" else "attentions"
        block, rest = f"{half}.{found[1]}_blocks.{level}.{kind}.{found[4]}", found[5]
    layer, _, leaf = rest.partition(".")
    if ".attentions." in block and layer in _MOVQ_ATTENTION:
        yield f"{block}.{_MOVQ_ATTENTION[layer]}.{leaf}", Piece(name, flat=leaf == "weight")
    elif ".attentions." in block and layer == "norm":
        norm = "group_norm" if half == "encoder" else "spatial_norm"
        yield f"{block}.{norm}.{leaf}", Piece(name)
    elif ".resnets." in block:
        yield f"{block}.{layer.replace('nin_shortcut', 'conv_shortcut')}.{leaf}", Piece(name)


def _movq_resampling(name: str, half: str, inner: str) -> Iterator[tuple[str, Piece]]:
    match = re.fullmatch(r"(down|up)\.(\d)\.(downsample|upsample)\.conv\.(weight|bias)", inner)
    if match is not None:
        level = int(match[2]) if half == "encoder" else 3 - int(match[2])
        yield f"{half}.{match[1]}_blocks.{level}.{match[3]}rs.0.conv.{match[4]}", Piece(name)


_MOVQ_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def statistics(name: str) -> Iterator[tuple[str, Piece]]:
    """Map the prior's mean and deviation, which a file of their own holds as a pair."""
    yield ("clip_mean", "clip_std")[int(name)], Piece(name, row=True)
