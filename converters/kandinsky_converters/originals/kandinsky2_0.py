"""Rules that map the tensors of ai-forever's files of Kandinsky 2.0 to the names of this library.

The blocks are those of 2.1's files: the UNet's are the same, and the autoencoder's are MoVQ's with
plain norms. docs/converter.md lists the rules and their sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kandinsky_converters.originals import kandinsky2_1 as original_kandinsky2_1
from kandinsky_converters.originals.piece import Piece

__all__ = ["autoencoder", "text_encoder", "text_encoder_2", "unet"]

_CONDITIONING = {
    "ln_model1": "encoder_hid_proj.norm",
    "ln_model2": "add_embedding.text_norm",
    "ln_model3": "add_embedding.pool_norm",
    "proj": "add_embedding.text_proj",
    "proj2.k_linear": "add_embedding.pool.k",
    "proj2.out": "add_embedding.pool.out",
    "proj2.q_linear": "add_embedding.pool.q",
    "proj2.v_linear": "add_embedding.pool.v",
    "to_model_dim": "encoder_hid_proj.text_proj",
    "to_model_dim2": "encoder_hid_proj.text_proj_2",
}
_WRAPPER = "state_dict."
_OF_AUTOENCODER = ("encoder", "decoder", "quant_conv", "post_quant_conv")


def unet(name: str, resnets: int = 3) -> Iterator[tuple[str, Piece]]:
    """Map the tensors of both UNets; see `original_kandinsky2_1.unet`."""
    layer, _, leaf = name.rpartition(".")
    if layer in _CONDITIONING:
        yield f"{_CONDITIONING[layer]}.{leaf}", Piece(name)
    else:
        yield from original_kandinsky2_1.unet(name, resnets)


def autoencoder(name: str) -> Iterator[tuple[str, Piece]]:
    """Map the tensors of `vae.ckpt`, which stand in its training's state; all others are left."""
    inner = name.removeprefix(_WRAPPER)
    if inner.split(".")[0] in _OF_AUTOENCODER:
        for target, piece in original_kandinsky2_1.movq(inner):
            target = target.replace("decoder.mid_block.attentions.0.spatial_norm", _DECODER_NORM)
            yield target, replace(piece, source=name)


_DECODER_NORM = "decoder.mid_block.attentions.0.group_norm"


def text_encoder(name: str) -> Iterator[tuple[str, Piece]]:
    """Keep the names of XLM-RoBERTa and its linear layer, which are ours."""
    yield name, Piece(name)


def text_encoder_2(name: str) -> Iterator[tuple[str, Piece]]:
    """Keep the encoder of mT5, whose decoder no picture needs."""
    if name == "shared.weight" or name.startswith("encoder."):
        yield name, Piece(name)
