"""Train the MoVQ autoencoder, without quantisation, so that its latents fill [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.shapes import networks
from tools.shapes.data import Dataset
from tools.shapes.loop import Average, Run, optimise

__all__ = ["train_movq"]

_BATCH = 8
_STEPS = 4000
_NOISE = 0.1  # on the latents, which pushes them apart and forgives errors of the UNet
_OUTSIDE = 10.0  # weight of values outside [-1, 1], where the scheduler clips


def train_movq(run: Run, data: Dataset) -> None:
    """Train encoder and decoder on pictures, and save their averaged weights.

    The pipelines decode with force_not_quantize, so the codebook stays untrained.
    """
    random = run.generator(2)
    network = networks.movq().to(run.device).train()
    average = Average(network, run.folder / "movq.partial.pt", 0.998)
    parameters = [
        value for name, value in network.named_parameters() if not name.startswith("quantize")
    ]

    def loss() -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(data), (_BATCH,), generator=random)
        pictures = data.pictures[rows].to(run.device).float() / 127.5 - 1
        with torch.autocast(run.device.type, enabled=False):
            latents = network.encode(pictures).latents
            noise = torch.randn(latents.shape, generator=random).to(run.device)
            noisy = latents.clamp(-1, 1) + _NOISE * noise
            result = network.decode(noisy, force_not_quantize=True).sample
        error = result - pictures
        outside = (latents.abs() - 1).clamp(min=0).square().mean()
        total = error.abs().mean() + 2 * error.square().mean() + _OUTSIDE * outside
        figures = {
            "mean_error": error.abs().mean().item(),
            "latent_std": latents.std().item(),
            "outside": outside.item(),
        }
        return total, figures

    def after_step() -> None:
        average.update(network)

    optimise(run, "movq", parameters, loss, _STEPS, 1e-3, after_step)
    network.load_state_dict(average.weights)
    with torch.no_grad():  # sanity figure for the log: 64 pictures, no noise
        pictures = data.pictures[:64].to(run.device).float() / 127.5 - 1
        latents = network.eval().encode(pictures).latents.clamp(-1, 1)
        result = network.decode(latents, force_not_quantize=True).sample.clamp(-1, 1)
        mse = F.mse_loss(result, pictures).item()
    run.record(stage="movq", mse_of_64=round(mse, 6))
    torch.save(network.cpu().state_dict(), run.folder / "movq.pt")
