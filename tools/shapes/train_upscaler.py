"""Train the upscaler: pictures that are drawn large are shrunk four times, and enlarged again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tools.shapes import networks
from tools.shapes.loop import Average, Run, optimise
from tools.shapes.scenes import Scene, draw, random_scene
from tools.shapes.upscaler_network import UPSCALER, SuperResUNet

__all__ = ["train_upscaler"]

_SCENES = 6000
_BATCH = 8
_STEPS = 8000
_NOISE = 0.1  # on the latents of pictures that go through MoVQ, as in its own training
_LARGE, _SMALL = 256, 64
# The five timesteps of the sampler; the first one, pure noise, decides where edges lie.
_TIMESTEPS = torch.tensor([999, 999, 799, 599, 400, 200])


def train_upscaler(run: Run) -> None:
    """Train on crops, and save the averaged weights.

    The small picture of a crop is the mean of each 4 x 4 pixels, or what MoVQ makes of it: a third
    of the pictures went through the autoencoder, as the pictures of the model itself do.
    """
    random = run.generator(9)
    rng = np.random.default_rng([run.seed, 9])
    network = SuperResUNet(UPSCALER).to(run.device).train()
    average = Average(network, run.folder / "upscaler.partial.pt", 0.999)
    large, small = _pictures([random_scene(rng) for _ in range(_SCENES)], run)
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()
    side = UPSCALER.sample_size // UPSCALER.scale

    def loss() -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(large), (_BATCH,), generator=random)
        top, left = torch.randint(_SMALL - side + 1, (2,), generator=random).tolist()
        shown = _floats(small[rows][:, :, top : top + side, left : left + side])
        wanted = _floats(large[rows][:, :, 4 * top :, 4 * left :])[
            :, :, : UPSCALER.sample_size, : UPSCALER.sample_size
        ]
        if torch.rand((), generator=random) < 0.5:
            shown, wanted = shown.flip(-1), wanted.flip(-1)
        time = _TIMESTEPS[torch.randint(len(_TIMESTEPS), (_BATCH,), generator=random)]
        share = alphas[time][:, None, None, None]
        noise = torch.randn(wanted.shape, generator=random)
        noisy = share.sqrt() * wanted + (1 - share).sqrt() * noise
        enlarged = F.interpolate(shown, scale_factor=4, mode="bilinear")
        with torch.autocast(run.device.type, enabled=False):
            error = network(noisy, time, enlarged) - wanted
        value = error.square().mean() + 0.05 * error.abs().mean()
        return value, {"psnr": float(-10 * torch.log10(error.detach().square().mean() / 4))}

    def after_step() -> None:
        average.update(network)

    optimise(run, "upscaler", network.parameters(), loss, _STEPS, 1e-3, after_step)
    torch.save(average.weights, run.folder / "upscaler.pt")


def _floats(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _pictures(scenes: list[Scene], run: Run) -> tuple[Tensor, Tensor]:
    """Return large pictures uint8 [n, 3, 256, 256] and small ones uint8 [n, 3, 64, 64]."""
    large = torch.stack(
        [torch.from_numpy(draw(scene, _LARGE).transpose(2, 0, 1).copy()) for scene in scenes]
    )
    small = F.avg_pool2d(large.float(), 4).round()
    movq = networks.movq().to(run.device).eval()
    movq.load_state_dict(torch.load(_movq_file(run.folder), weights_only=True))
    noise = run.generator(10)
    for start in range(0, len(small), 3 * 16):
        rows = slice(start, start + 16)
        with torch.no_grad():
            latents = movq.encode(_floats(small[rows])).latents.clamp(-1, 1)
            latents = latents + _NOISE * torch.randn(latents.shape, generator=noise)
            made = movq.decode(latents, force_not_quantize=True).sample
        small[rows] = ((made + 1) * 127.5).clamp(0, 255).round()
    return large, small.to(torch.uint8)


def _movq_file(folder: Path) -> Path:
    return folder / "movq.pt"
