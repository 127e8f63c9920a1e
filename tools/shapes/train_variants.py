"""Train the decoder's two variants, inpainting and ControlNet, from its weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from tools.shapes import networks
from tools.shapes.data import pictures
from tools.shapes.edits import Edit, clear_edit, kept_cells, random_edit
from tools.shapes.embeddings import image_embeddings
from tools.shapes.fit import FORMATS, Batch, encode, fit
from tools.shapes.loop import Run
from tools.shapes.outlines import Outline, random_outline
from tools.shapes.scenes import Scene, silhouette

__all__ = ["STEPS", "train_controlnet", "train_inpaint"]

_SCENES, _MORE_SCENES = 9_000, 3_000  # scenes of the first and the second pass
_OTHERS = 1 / 15  # share of scenes that are also drawn in formats other than 64 x 64
STEPS = {"inpaint": (2600, 450), "controlnet": (2600,)}  # steps of each pass
_RATE = 6e-4
_KEPT_WEIGHT = 0.1  # the pipelines overwrite the kept pixels, so these need not be exact
_SHARED = 4  # rows of a batch that share a hint, whose convolutions cost more than the UNet

Draw = Callable[[int, torch.Generator], Batch]


def _scenes(run: Run, most: int) -> int:
    """Return how many scenes a run of this length needs."""
    return max(64, round(most * min(1.0, run.length)))


def _from_decoder(run: Run, network: UNet2DConditionModel) -> UNet2DConditionModel:
    """Fill in the decoder's weights; the input's further channels start with zero weights."""
    weights = torch.load(run.folder / "unet_refined.pt", weights_only=True)
    narrow = weights["conv_in.weight"]
    wide = torch.zeros_like(network.conv_in.weight)
    wide[:, : narrow.shape[1]] = narrow
    missing, unknown = network.load_state_dict({**weights, "conv_in.weight": wide}, strict=False)
    assert not unknown
    assert all("input_hint_block" in name for name in missing)
    return network.to(run.device).train()


def _embeddings(run: Run, described: list[tuple[Scene, ...]]) -> Tensor:
    """Embed every description [n, descriptions, EMBEDDING]."""
    parts = [pictures(list(scenes), 64, 64) for scenes in described]
    return image_embeddings(run, torch.cat(parts)).view(len(described), -1, networks.EMBEDDING)


def _one_of(embeddings: Tensor, rows: Tensor, random: torch.Generator) -> Tensor:
    """Take one description of each row at random [n, EMBEDDING]."""
    return embeddings[rows, torch.randint(embeddings.shape[1], rows.shape, generator=random)]


def _repainting(run: Run, edits: list[Edit]) -> tuple[Draw, Tensor]:
    """Return a function that draws batches of the edits, and embeddings that describe them."""
    others = round(len(edits) * _OTHERS)
    before = encode(run, [edit.before for edit in edits], others)
    after = encode(run, [edit.after for edit in edits], others)
    kept = [
        torch.from_numpy(
            np.stack([kept_cells(edit.box, width, height) for edit in edits[: len(latents)]])
        )
        for (width, height, *_), latents in zip(FORMATS, after, strict=True)
    ]
    embeddings = _embeddings(run, [edit.described for edit in edits])

    def draw(chosen: int, random: torch.Generator) -> Batch:
        rows = torch.randint(len(after[chosen]), (FORMATS[chosen][2],), generator=random)
        mask, source = kept[chosen][rows], before[chosen][rows].float()
        return Batch(
            latents=mask * source + (1 - mask) * after[chosen][rows].float(),
            embeddings=_one_of(embeddings, rows, random),
            channels=torch.cat([mask * source, mask], 1),
            weight=1 - (1 - _KEPT_WEIGHT) * mask,
        )

    return draw, embeddings[:, 0]


def train_inpaint(run: Run) -> None:
    """Train the UNet on pictures repainted in part, and save its averaged weights.

    The second pass takes care that new shapes stay inside the mask. It prefers strong noise, which
    decides that.
    """
    network = _from_decoder(run, networks.inpaint_unet())
    passes = ((8, random_edit, _SCENES, 0.8), (10, clear_edit, _MORE_SCENES, 0.6))
    for (stream, choose, most, late), steps in zip(passes, STEPS["inpaint"], strict=True):
        rng = np.random.default_rng([run.seed, stream])
        edits = [choose(rng) for _ in range(_scenes(run, most))]
        random = run.generator(stream)
        draw, embeddings = _repainting(run, edits)
        fit(run, "inpaint", network, draw, embeddings, random, steps, _RATE, late)
    torch.save(network.cpu().state_dict(), run.folder / "unet_inpaint.pt")


def _silhouettes(scenes: list[Scene], width: int, height: int) -> Tensor:
    """Draw hints as uint8 [n, 1, 2 height, 2 width]: 8 pixels for a latent pixel."""
    drawn = np.stack([silhouette(scene, 2 * width, 2 * height) for scene in scenes])
    return torch.from_numpy(drawn)[:, None]


def _filling(run: Run, outlines: list[Outline]) -> tuple[Draw, Tensor]:
    """Return a function that draws batches of the outlines, and embeddings that describe them."""
    scenes = [outline.scene for outline in outlines]
    latents = encode(run, scenes, round(len(scenes) * _OTHERS))
    hints = [
        _silhouettes(scenes[: len(part)], width, height)
        for (width, height, *_), part in zip(FORMATS, latents, strict=True)
    ]
    embeddings = _embeddings(run, [outline.described for outline in outlines])

    def draw(chosen: int, random: torch.Generator) -> Batch:
        count = FORMATS[chosen][2] // _SHARED
        once = torch.randint(len(latents[chosen]), (count,), generator=random)
        rows = once.repeat_interleave(_SHARED)
        return Batch(
            latents=latents[chosen][rows].float(),
            embeddings=_one_of(embeddings, rows, random),
            hint=hints[chosen][once].float().expand(-1, 3, -1, -1) / 255,
        )

    return draw, embeddings[:, 0]


def train_controlnet(run: Run) -> None:
    """Train the UNet to fill the outlines of a hint, and save its averaged weights."""
    random = run.generator(9)
    rng = np.random.default_rng([run.seed, 9])
    draw, embeddings = _filling(run, [random_outline(rng) for _ in range(_scenes(run, _SCENES))])
    network = _from_decoder(run, networks.controlnet_unet())
    repeat = network.add_embedding.input_hint_block.register_forward_hook(_repeated)
    (steps,) = STEPS["controlnet"]
    fit(run, "controlnet", network, draw, embeddings, random, steps, _RATE, 0.8)
    repeat.remove()
    torch.save(network.cpu().state_dict(), run.folder / "unet_controlnet.pt")


def _repeated(block: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> Tensor:
    """Give each row of a batch the result of its hint."""
    return result.repeat_interleave(_SHARED, 0)
