"""Trains a UNet; the decoder and its two variants share this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel, VQModel
from torch import Tensor
from torch.nn import functional as F

from tools.shapes import networks
from tools.shapes.data import pictures
from tools.shapes.embeddings import load, zero_embedding
from tools.shapes.loop import Average, Run, optimise
from tools.shapes.scenes import Scene

__all__ = ["FORMATS", "Batch", "encode", "fit"]

_DROPPED = 0.1  # share of embeddings replaced by the embedding of the zero picture
# Guidance in the prior makes embeddings less exact than the embeddings of real pictures, and may
# stretch them. The UNet learns to forgive both: noise of up to so many standard deviations, and
# stretch.
_SPREAD, _STRETCH = 0.25, 1.3
# Width, height, batch, and share of the steps.
FORMATS = ((64, 64, 32, 0.85), (96, 64, 20, 0.05), (64, 96, 20, 0.05), (128, 128, 8, 0.05))


@dataclass(frozen=True)
class Batch:
    """The tensors that one step trains on; the last three are for the variants.

    `latents` is [n, 4, h, w] in [-1, 1], `embeddings` [n, EMBEDDING]. `channels` [n, c, h, w] are
    joined to the noisy latents, `hint` [n, 3, 8 h, 8 w] goes to the network beside the embeddings,
    and `weight` [n, 1, h, w] tells how much each latent pixel counts.
    """

    latents: Tensor
    embeddings: Tensor
    channels: Tensor | None = None
    hint: Tensor | None = None
    weight: Tensor | None = None


@torch.no_grad()
def encode(run: Run, scenes: list[Scene], others: int) -> list[Tensor]:
    """Draw and encode the scenes in each format: all as 64 x 64, the first `others` in the rest.

    The latents are float16 [n, 4, height / 4, width / 4] in [-1, 1].
    """
    autoencoder = load(networks.movq(), run, "movq")
    assert isinstance(autoencoder, VQModel)
    latents = []
    for width, height, *_ in FORMATS:
        drawn = pictures(scenes if width == height == 64 else scenes[:others], width, height)
        parts = [
            autoencoder.encode(part.to(run.device).float() / 127.5 - 1).latents.clamp(-1, 1)
            for part in drawn.split(8)
        ]
        latents.append(torch.cat(parts).half().cpu())
    return latents


def _blurred(
    embeddings: Tensor, mean: Tensor, deviation: Tensor, random: torch.Generator
) -> Tensor:
    """Return embeddings made as inexact as the prior's are under guidance."""
    strength = _SPREAD * torch.rand(len(embeddings), 1, generator=random)
    noise = strength * deviation * torch.randn(embeddings.shape, generator=random)
    stretch = 1 + (_STRETCH - 1) * torch.rand(len(embeddings), 1, generator=random)
    return mean + stretch * (embeddings - mean) + noise


def _loss(network: UNet2DConditionModel, batch: Batch, noisy: Tensor, *rest: Tensor) -> Tensor:
    """Return how far the guess of the noise is from the noise; `rest`: times, condition, noise."""
    device = network.device
    times, condition, noise = (part.to(device) for part in rest)
    if batch.channels is not None:
        noisy = torch.cat([noisy, batch.channels], 1)
    added = {"image_embeds": condition}
    if batch.hint is not None:
        added["hint"] = batch.hint.to(device)
    guess = network(noisy.to(device), times, None, added_cond_kwargs=added).sample[:, :4].float()
    if batch.weight is None:
        return F.mse_loss(guess, noise)
    weight = batch.weight.to(device)
    return (weight * (guess - noise) ** 2).mean() / weight.mean()


def fit(
    run: Run,
    stage: str,
    network: UNet2DConditionModel,
    draw: Callable[[int, torch.Generator], Batch],
    embeddings: Tensor,
    random: torch.Generator,
    steps: int,
    rate: float,
    late: float = 1.0,
) -> None:
    """Train the network to find the noise in noisy latents, and give it its averaged weights.

    `draw` makes a batch in the format of that number; `embeddings` [n, EMBEDDING] tell how far
    embeddings spread. Steps are drawn as 1000 u ** late with u uniform, so late < 1 prefers strong
    noise. Only the first four output channels are trained; the other four, the variance which no
    published configuration uses, stay as they are.
    """
    average = Average(network, run.folder / f"{stage}.partial.pt")
    mean, deviation = embeddings.mean(0), embeddings.std(0)
    empty = zero_embedding(run)
    kept = networks.decoder_scheduler().alphas_cumprod
    shares = torch.tensor([share for *_, share in FORMATS])

    def loss() -> tuple[Tensor, dict[str, float]]:
        batch = draw(int(torch.multinomial(shares, 1, generator=random)), random)
        count = len(batch.latents)
        times = (1000 * torch.rand(count, generator=random) ** late).long().clamp(max=999)
        dropped = torch.rand(count, 1, generator=random) < _DROPPED
        condition = _blurred(batch.embeddings, mean, deviation, random)
        condition = torch.where(dropped, empty, condition)
        noise = torch.randn(batch.latents.shape, generator=random)
        alpha = kept[times][:, None, None, None]
        noisy = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * noise
        return _loss(network, batch, noisy, times, condition, noise), {}

    def after_step() -> None:
        average.update(network)

    optimise(run, stage, network.parameters(), loss, steps, rate, after_step)
    network.load_state_dict(average.weights)
