"""Rules that map the tensors of ai-forever's files of Kandinsky 2.0 to the names of this library.

The blocks are those of 2.1's files: the UNet's are the same, and the autoencoder's are MoVQ's with
plain norms. docs/converter.md lists the rules and their sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kandinsky_converters.originals import kandinsky2_1 as original_kandinsky2_1
from kandinsky_converters.originals.piece import Piece

__all__ = ["autoencoder", "left_out", "unet"]

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
    """Map the autoencoder's tensors in `vae.ckpt`; see `left_out`."""
    for target, piece in original_kandinsky2_1.movq(name.removeprefix(_WRAPPER)):
        yield target.replace(".spatial_norm.", ".group_norm."), replace(piece, source=name)


def left_out(name: str) -> str | None:
    """Return why a tensor of `vae.ckpt` is left out; None for those of the autoencoder.

    The file is the state of a training by PyTorch Lightning, whose losses are networks too.
    """
    inner = name.removeprefix(_WRAPPER)
    own = name != inner and inner.split(".")[0] in _OF_AUTOENCODER
    return None if own else "the state of the training"
