"""Train the decoder's UNet: from the CLIP embedding of a picture to its MoVQ latents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tools.shapes import networks
from tools.shapes.data import Dataset, pictures
from tools.shapes.embeddings import image_embeddings
from tools.shapes.fit import FORMATS, Batch, encode, fit
from tools.shapes.loop import Run
from tools.shapes.scenes import Scene

__all__ = ["refine_unet", "train_unet"]

_STEPS, _RATE = 4400, 1e-3
_REFINE_STEPS, _REFINE_RATE = 1500, 6e-4
_REFINE_STREAMS = (6, 7)  # one pass each

Draw = Callable[[int, torch.Generator], Batch]


def _material(run: Run, scenes: list[Scene], others: int) -> tuple[Draw, Tensor]:
    """Return a function that draws batches of the scenes, and their embeddings [n, EMBEDDING].

    Each embedding comes from the square picture of 64 pixels.
    """
    latents = encode(run, scenes, others)
    embeddings = image_embeddings(run, pictures(scenes, 64, 64))

    def draw(chosen: int, random: torch.Generator) -> Batch:
        count = FORMATS[chosen][2]
        rows = torch.randint(len(latents[chosen]), (count,), generator=random)
        return Batch(latents[chosen][rows].float(), embeddings[rows])

    return draw, embeddings


def train_unet(run: Run, data: Dataset) -> None:
    """Train the UNet on scenes of all kinds, and save its averaged weights."""
    random = run.generator(4)
    network = networks.unet().to(run.device).train()
    nn.init.zeros_(network.conv_out.weight)
    nn.init.zeros_(network.conv_out.bias)
    draw, embeddings = _material(run, data.scenes[:24_000], 1_500)
    fit(run, "unet", network, draw, embeddings, random, _STEPS, _RATE)
    torch.save(network.cpu().state_dict(), run.folder / "unet.pt")


def refine_unet(run: Run, data: Dataset) -> None:
    """Train the UNet on, mostly on two shapes and strong noise, and save its averaged weights.

    The UNet learns last which of two shapes has which colour, and strong noise decides that.
    """
    random = run.generator(_REFINE_STREAMS[0])
    two = [scene for scene in data.scenes if len(scene.shapes) == 2]
    one = [scene for scene in data.scenes if len(scene.shapes) == 1]
    count = min(9_000, 10 * len(two) // 8)
    scenes = [two.pop() if index % 10 < 7 else one.pop() for index in range(count)]
    draw, embeddings = _material(run, scenes, 500)
    network = networks.unet().to(run.device).train()
    network.load_state_dict(torch.load(run.folder / "unet.pt", weights_only=True))
    fit(run, "refine", network, draw, embeddings, random, _REFINE_STEPS, _REFINE_RATE, 0.6)
    for stream in _REFINE_STREAMS[1:]:
        again = run.generator(stream)
        fit(run, "refine", network, draw, embeddings, again, _REFINE_STEPS, _REFINE_RATE, 0.6)
    torch.save(network.cpu().state_dict(), run.folder / "unet_refined.pt")
