"""Embeds pictures and captions with the trained CLIP, as the pipelines do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection

from tools.shapes import networks
from tools.shapes.data import tokenise
from tools.shapes.loop import Run
from tools.shapes.train_clip import normalise

__all__ = [
    "empty_tokens",
    "image_embeddings",
    "load",
    "read",
    "text_encoder",
    "text_mask",
    "zero_embedding",
]


def load(network: nn.Module, run: Run, name: str) -> nn.Module:
    """Fill in the weights of a finished stage, rounded to float16 as they will be saved."""
    network.load_state_dict(torch.load(run.folder / f"{name}.pt", weights_only=True))
    return network.half().float().eval().requires_grad_(False).to(run.device)


@torch.no_grad()
def image_embeddings(run: Run, pictures: Tensor) -> Tensor:
    """Embed pictures uint8 [n, 3, 64, 64] as float32 [n, EMBEDDING]."""
    encoder = load(networks.image_encoder(), run, "image_encoder")
    parts = [encoder(normalise(part.to(run.device))).image_embeds for part in pictures.split(256)]
    return torch.cat(parts).cpu()


@torch.no_grad()
def zero_embedding(run: Run) -> Tensor:
    """Embed the pixel tensor of zeros: the decoder's unconditional embedding [1, EMBEDDING]."""
    encoder = load(networks.image_encoder(), run, "image_encoder")
    zeros = torch.zeros(1, 3, networks.SIDE, networks.SIDE, device=run.device)
    return encoder(zeros).image_embeds.cpu()


def text_encoder(run: Run) -> CLIPTextModelWithProjection:
    """Return the trained text encoder."""
    vocabulary = len(networks.tokenizer(run.folder))
    encoder = load(networks.text_encoder(vocabulary), run, "text_encoder")
    assert isinstance(encoder, CLIPTextModelWithProjection)
    return encoder


def text_mask(tokens: Tensor) -> Tensor:
    """Tell start, words and the first end token (True) from the padding [n, TOKENS]."""
    ends = tokens == tokens.max()
    return ends.cumsum(1) - ends.long() == 0


@torch.no_grad()
def read(encoder: CLIPTextModelWithProjection, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the text embedding [n, EMBEDDING] and the last hidden states [n, TOKENS, hidden]."""
    output = encoder(tokens)
    return output.text_embeds.float(), output.last_hidden_state.float()


def empty_tokens(run: Run) -> Tensor:
    """Return the tokens of the empty caption [1, TOKENS]."""
    return tokenise([""], run.folder)
