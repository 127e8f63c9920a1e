"""The training set: pictures, captions as tokens, and labels, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.shapes import networks
from tools.shapes.captions import caption
from tools.shapes.scenes import COLOURS, KINDS, POSITIONS, SIZES, Scene, draw, random_scene
from tools.shapes.vocabulary import learn_merges, write_vocabulary

__all__ = ["HEADS", "Dataset", "labels", "make_dataset", "make_vocabulary", "pictures", "tokenise"]

# One question on the ground and three on each place: which kind, colour and size, or nothing.
_PLACE_HEADS = (len(KINDS) + 1, len(COLOURS) + 1, len(SIZES) + 1)
HEADS: tuple[int, ...] = (len(COLOURS), *_PLACE_HEADS * len(POSITIONS))


@dataclass(frozen=True)
class Dataset:
    """Scenes, their pictures uint8 [n, 3, side, side], captions as tokens and labels.

    The tokens are int64 [n, captions, TOKENS], the labels int64 [n, heads].
    """

    scenes: list[Scene]
    pictures: Tensor
    tokens: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.scenes)


def labels(scene: Scene) -> list[int]:
    """Number the answers to the questions of HEADS; 0 means nothing lies in that place."""
    colours = list(COLOURS)
    answers = [colours.index(scene.ground)]
    by_place = {shape.position: shape for shape in scene.shapes}
    for place in POSITIONS:
        shape = by_place.get(place)
        if shape is None:
            answers += [0, 0, 0]
        else:
            answers += [
                KINDS.index(shape.kind) + 1,
                colours.index(shape.colour) + 1,
                list(SIZES).index(shape.size) + 1,
            ]
    return answers


def make_vocabulary(folder: Path, seed: int) -> None:
    """Learn the vocabulary from random captions and write its two files."""
    rng = np.random.default_rng([seed, 1])
    write_vocabulary(learn_merges(caption(random_scene(rng), rng) for _ in range(5000)), folder)


def tokenise(texts: list[str], folder: Path) -> Tensor:
    """Return the tokens, padded with the end token, as the prior's pipeline makes them."""
    tokenizer = networks.tokenizer(folder)
    return tokenizer(
        texts,
        padding="max_length",
        max_length=networks.TOKENS,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def pictures(scenes: list[Scene], width: int, height: int) -> Tensor:
    """Draw the scenes as uint8 [n, 3, height, width]."""
    drawn = np.stack([draw(scene, width, height) for scene in scenes])
    return torch.from_numpy(np.ascontiguousarray(drawn.transpose(0, 3, 1, 2)))


def make_dataset(folder: Path, seed: int, count: int, captions: int = 4) -> Dataset:
    """Draw `count` scenes and describe each with several captions."""
    rng = np.random.default_rng([seed, 2])
    scenes = [random_scene(rng) for _ in range(count)]
    texts = [caption(scene, rng) for scene in scenes for _ in range(captions)]
    return Dataset(
        scenes,
        pictures(scenes, networks.SIDE, networks.SIDE),
        tokenise(texts, folder).view(count, captions, networks.TOKENS),
        torch.tensor([labels(scene) for scene in scenes]),
    )
