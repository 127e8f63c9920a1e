"""Train the decoder's UNet: from the CLIP embedding of a picture to its MoVQ latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel, VQModel
from torch import Tensor, nn
from torch.nn import functional as F

from tools.shapes import networks
from tools.shapes.data import Dataset, pictures
from tools.shapes.embeddings import image_embeddings, load, zero_embedding
from tools.shapes.loop import Average, Run, optimise
from tools.shapes.scenes import Scene

__all__ = ["refine_unet", "train_unet"]

_STEPS, _RATE = 4400, 1e-3
_REFINE_STEPS, _REFINE_RATE = 1500, 6e-4
_REFINE_STREAMS = (6, 7)  # one pass each
_DROPPED = 0.1  # share of embeddings replaced by that of the zero picture
# Guidance in the prior makes embeddings less exact than those of real pictures, and may stretch
# them. The UNet learns to forgive both: noise of up to so many standard deviations, and stretch.
_SPREAD, _STRETCH = 0.25, 1.3
# Width, height, batch, and share of the steps.
_FORMATS = ((64, 64, 32, 0.85), (96, 64, 20, 0.05), (64, 96, 20, 0.05), (128, 128, 8, 0.05))


@dataclass(frozen=True)
class _Material:
    """Embeddings [n, EMBEDDING], that of the zero picture, and the latents in each format."""

    embeddings: Tensor
    empty: Tensor
    latents: list[Tensor]


@torch.no_grad()
def _material(run: Run, scenes: list[Scene], others: int) -> _Material:
    """Embed and encode the scenes once; only the first `others` in the formats that are not 64.

    The latents are float16 [n, 4, height / 4, width / 4] in [-1, 1]. The embedding is always that
    of the square picture of 64 pixels.
    """
    autoencoder = load(networks.movq(), run, "movq")
    assert isinstance(autoencoder, VQModel)
    latents = []
    for width, height, *_ in _FORMATS:
        drawn = pictures(scenes if width == height == 64 else scenes[:others], width, height)
        parts = [
            autoencoder.encode(part.to(run.device).float() / 127.5 - 1).latents.clamp(-1, 1)
            for part in drawn.split(8)
        ]
        latents.append(torch.cat(parts).half().cpu())
    return _Material(image_embeddings(run, pictures(scenes, 64, 64)), zero_embedding(run), latents)


def _blurred(
    embeddings: Tensor, mean: Tensor, deviation: Tensor, random: torch.Generator
) -> Tensor:
    """Return embeddings as inexact as those that the prior gives under guidance."""
    strength = _SPREAD * torch.rand(len(embeddings), 1, generator=random)
    noise = strength * deviation * torch.randn(embeddings.shape, generator=random)
    stretch = 1 + (_STRETCH - 1) * torch.rand(len(embeddings), 1, generator=random)
    return mean + stretch * (embeddings - mean) + noise


def _fit(
    run: Run,
    stage: str,
    network: UNet2DConditionModel,
    material: _Material,
    random: torch.Generator,
    steps: int,
    rate: float,
    late: float,
) -> None:
    """Train the network to find the noise in noisy latents, and give it its averaged weights.

    Steps are drawn as 1000 u ** late with u uniform, so late < 1 prefers strong noise. Only the
    first four output channels are trained; the other four, the variance which no published
    configuration uses, stay as they are.
    """
    average = Average(network, run.folder / f"{stage}.partial.pt")
    mean, deviation = material.embeddings.mean(0), material.embeddings.std(0)
    kept = networks.decoder_scheduler().alphas_cumprod
    shares = torch.tensor([share for *_, share in _FORMATS])

    def loss() -> tuple[Tensor, dict[str, float]]:
        chosen = int(torch.multinomial(shares, 1, generator=random))
        batch, latents = _FORMATS[chosen][2], material.latents[chosen]
        rows = torch.randint(len(latents), (batch,), generator=random)
        times = (1000 * torch.rand(batch, generator=random) ** late).long().clamp(max=999)
        dropped = torch.rand(batch, 1, generator=random) < _DROPPED
        condition = _blurred(material.embeddings[rows], mean, deviation, random)
        condition = torch.where(dropped, material.empty, condition)
        target = latents[rows].float()
        noise = torch.randn(target.shape, generator=random)
        alpha = kept[times][:, None, None, None]
        noisy = alpha.sqrt() * target + (1 - alpha).sqrt() * noise
        guess = network(
            noisy.to(run.device),
            times.to(run.device),
            None,
            added_cond_kwargs={"image_embeds": condition.to(run.device)},
        ).sample[:, :4]
        return F.mse_loss(guess.float(), noise.to(run.device)), {}

    def after_step() -> None:
        average.update(network)

    optimise(run, stage, network.parameters(), loss, steps, rate, after_step)
    network.load_state_dict(average.weights)


def train_unet(run: Run, data: Dataset) -> None:
    """Train the UNet on scenes of all kinds, and save its averaged weights."""
    random = run.generator(4)
    network = networks.unet().to(run.device).train()
    nn.init.zeros_(network.conv_out.weight)
    nn.init.zeros_(network.conv_out.bias)
    material = _material(run, data.scenes[:24_000], 1_500)
    _fit(run, "unet", network, material, random, _STEPS, _RATE, 1.0)
    torch.save(network.cpu().state_dict(), run.folder / "unet.pt")


def refine_unet(run: Run, data: Dataset) -> None:
    """Train the UNet on, mostly on two shapes and strong noise, and save its averaged weights.

    Which of two shapes has which colour is what it learns last, and strong noise is where that
    is decided.
    """
    random = run.generator(_REFINE_STREAMS[0])
    two = [scene for scene in data.scenes if len(scene.shapes) == 2]
    one = [scene for scene in data.scenes if len(scene.shapes) == 1]
    count = min(9_000, 10 * len(two) // 8)
    scenes = [two.pop() if index % 10 < 7 else one.pop() for index in range(count)]
    material = _material(run, scenes, 500)
    network = networks.unet().to(run.device).train()
    network.load_state_dict(torch.load(run.folder / "unet.pt", weights_only=True))
    _fit(run, "refine", network, material, random, _REFINE_STEPS, _REFINE_RATE, 0.6)
    for stream in _REFINE_STREAMS[1:]:
        again = run.generator(stream)
        _fit(run, "refine", network, material, again, _REFINE_STEPS, _REFINE_RATE, 0.6)
    torch.save(network.cpu().state_dict(), run.folder / "unet_refined.pt")
