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

__all__ = ["STEPS", "train_upscaler"]

_SCENES = 3000
_BATCH = 8
STEPS = 8000
_NOISE = 0.1  # on the latents of pictures that go through MoVQ, as in its own training
_LARGE, _SMALL = 256, 64
# The five timesteps of the sampler; the first one, pure noise, decides where edges lie.
_TIMESTEPS = torch.tensor([999, 999, 999, 799, 599, 400, 200])
_ROUND_EDGES = 0.8  # share of the crops that are laid around an edge
_THROUGH_MOVQ = 4  # one picture of so many


def train_upscaler(run: Run) -> None:
    """Train on crops, and save the averaged weights.

    The small picture of a crop is the mean of each 4 x 4 pixels, or what MoVQ makes of it: a fourth
    of the pictures went through the autoencoder, as the pictures of the model itself do. Most crops
    are laid around an edge, as flat colour is learnt soon.
    """
    random = run.generator(9)
    rng = np.random.default_rng([run.seed, 9])
    network = SuperResUNet(UPSCALER).to(run.device).train()
    average = Average(network, run.folder / "upscaler.partial.pt", 0.999)
    crops = _Crops(*_pictures([random_scene(rng) for _ in range(_SCENES)], run))
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()

    def loss() -> tuple[Tensor, dict[str, float]]:
        shown, wanted = crops.batch(random)
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

    optimise(run, "upscaler", network.parameters(), loss, STEPS, 1e-3, after_step)
    torch.save(average.weights, run.folder / "upscaler.pt")


class _Crops:
    """Draws small crops with the large ones that they show."""

    def __init__(self, large: Tensor, small: Tensor) -> None:
        self.large, self.small = large, small
        self.edges = [_edges(picture) for picture in large]

    def batch(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return pixels [batch, 3, side, side] and [batch, 3, 4 * side, 4 * side]."""
        pairs = [self._one(random) for _ in range(_BATCH)]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def _one(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        def below(end: int) -> int:
            return int(torch.randint(end, (), generator=random))

        row = below(len(self.large))
        side, edges = UPSCALER.sample_size // UPSCALER.scale, self.edges[row]
        corner = [below(_SMALL - side + 1), below(_SMALL - side + 1)]
        if len(edges) and torch.rand((), generator=random) < _ROUND_EDGES:
            edge = edges[below(len(edges))].tolist()
            corner = [min(max(at - below(side), 0), _SMALL - side) for at in edge]
        top, left = corner
        shown = self.small[row, :, top : top + side, left : left + side]
        rows, columns = (slice(4 * start, 4 * (start + side)) for start in corner)
        wanted = self.large[row, :, rows, columns]
        turns, flips = below(4), below(2)
        both = (torch.rot90(each, turns, (1, 2)) for each in (shown, wanted))
        shown, wanted = (each.flip(2) if flips else each for each in both)
        return _floats(shown), _floats(wanted)


def _edges(large: Tensor) -> Tensor:
    """Return the places [n, 2] of small pixels over which the large picture changes."""
    grey = large.float().mean(0, keepdim=True)
    return (F.max_pool2d(grey, 4) + F.max_pool2d(-grey, 4) > 16)[0].nonzero()


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
    for start in range(0, len(small), _THROUGH_MOVQ * 16):
        rows = slice(start, start + 16)
        with torch.no_grad():
            latents = movq.encode(_floats(small[rows])).latents.clamp(-1, 1)
            latents = latents + _NOISE * torch.randn(latents.shape, generator=noise)
            made = movq.decode(latents, force_not_quantize=True).sample
        small[rows] = ((made + 1) * 127.5).clamp(0, 255).round()
    return large, small.to(torch.uint8)


def _movq_file(folder: Path) -> Path:
    return folder / "movq.pt"
