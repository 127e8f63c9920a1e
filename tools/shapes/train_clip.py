"""Train the small CLIP: pictures and captions meet in one space that tells all about the scene."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.shapes import networks
from tools.shapes.data import HEADS, Dataset
from tools.shapes.loop import Run, optimise

__all__ = ["normalise", "train_clip", "train_pictures"]

_BATCH = 128
_STEPS, _PICTURE_STEPS = 1600, 900


def normalise(pictures: Tensor) -> Tensor:
    """Turn uint8 [b, 3, h, w] into the numbers that the image processor gives the encoder."""
    processor = networks.image_processor()
    mean = torch.tensor(processor.image_mean, device=pictures.device)[:, None, None]
    std = torch.tensor(processor.image_std, device=pictures.device)[:, None, None]
    return (pictures.float() / 255 - mean) / std


def _answers_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Return the sum of all questions' cross entropies, and the share of scenes all right."""
    pieces = logits.float().split(HEADS, dim=1)
    losses = [F.cross_entropy(piece, labels[:, i]) for i, piece in enumerate(pieces)]
    right = torch.stack([piece.argmax(1) == labels[:, i] for i, piece in enumerate(pieces)])
    return torch.stack(losses).sum(), right.all(0).float().mean().item()


def train_clip(run: Run, data: Dataset) -> None:
    """Train both encoders by contrast and by questions on the scene, and save them.

    The questions (which colour, kind and size lies in which place, which ground) are answered by
    linear heads on the embeddings; the heads are thrown away.
    """
    random = run.generator(1)
    vocabulary = len(networks.tokenizer(run.folder))
    text, image = networks.text_encoder(vocabulary), networks.image_encoder()
    heads = nn.ModuleList([nn.Linear(networks.EMBEDDING, sum(HEADS)) for _ in range(2)])
    scale = nn.Parameter(torch.tensor(2.7))
    both = nn.ModuleList([text, image, heads]).to(run.device).train()
    pair = torch.arange(_BATCH, device=run.device)

    def loss() -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(data), (_BATCH,), generator=random)
        column = int(torch.randint(data.tokens.shape[1], (), generator=random))
        pictures = normalise(data.pictures[rows].to(run.device))
        tokens, labels = data.tokens[rows, column].to(run.device), data.labels[rows].to(run.device)
        seen = image(pictures).image_embeds
        read = text(tokens).text_embeds
        seen_loss, seen_right = _answers_loss(heads[0](seen), labels)
        read_loss, read_right = _answers_loss(heads[1](read), labels)
        logits = F.normalize(read.float()) @ F.normalize(seen.float()).T
        logits = logits * scale.clamp(max=4.6).exp()
        contrast = (F.cross_entropy(logits, pair) + F.cross_entropy(logits.T, pair)) / 2
        total = contrast + 0.3 * (seen_loss + 0.5 * read_loss)
        figures = {
            "contrast": contrast.item(),
            "picture_right": seen_right,
            "caption_right": read_right,
        }
        return total, figures

    optimise(run, "clip", [*both.parameters(), scale], loss, _STEPS, 1e-3)
    torch.save(text.cpu().state_dict(), run.folder / "text_encoder.pt")
    torch.save(image.cpu().state_dict(), run.folder / "clip_pictures.pt")


def train_pictures(run: Run, data: Dataset) -> None:
    """Train the image encoder further, with the text encoder fixed, and save it.

    Kinds and sizes are harder to see than to read, so the image encoder needs more steps.
    """
    random = run.generator(5)
    text = networks.text_encoder(len(networks.tokenizer(run.folder)))
    text.load_state_dict(torch.load(run.folder / "text_encoder.pt", weights_only=True))
    text.to(run.device).eval().requires_grad_(False)
    image = networks.image_encoder()
    image.load_state_dict(torch.load(run.folder / "clip_pictures.pt", weights_only=True))
    head = nn.Linear(networks.EMBEDDING, sum(HEADS))
    both = nn.ModuleList([image, head]).to(run.device).train()
    pair = torch.arange(_BATCH, device=run.device)

    def loss() -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(data), (_BATCH,), generator=random)
        column = int(torch.randint(data.tokens.shape[1], (), generator=random))
        seen = image(normalise(data.pictures[rows].to(run.device))).image_embeds
        read = text(data.tokens[rows, column].to(run.device)).text_embeds
        answers, right = _answers_loss(head(seen), data.labels[rows].to(run.device))
        logits = 30 * F.normalize(read.float()) @ F.normalize(seen.float()).T
        contrast = (F.cross_entropy(logits, pair) + F.cross_entropy(logits.T, pair)) / 2
        return contrast + 0.5 * answers, {"contrast": contrast.item(), "picture_right": right}

    optimise(run, "pictures", both.parameters(), loss, _PICTURE_STEPS, 7e-4)
    torch.save(image.cpu().state_dict(), run.folder / "image_encoder.pt")
