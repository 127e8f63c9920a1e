"""Train the diffusion prior: from a caption to the CLIP embedding of a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.shapes import networks
from tools.shapes.data import Dataset
from tools.shapes.embeddings import empty_tokens, image_embeddings, read, text_encoder, text_mask
from tools.shapes.loop import Average, Run, optimise

__all__ = ["train_prior"]

_BATCH = 64
_STEPS = 1800
_DROPPED = 0.1  # share of captions replaced by the empty one


def train_prior(run: Run, data: Dataset) -> None:
    """Train the prior to give back the normalised embedding from a noisy one, and save it.

    The loss is the mean square error of the embedding itself (prediction type "sample"), in the
    space where every component has mean 0 and variance 1 over the training pictures.
    """
    random = run.generator(3)
    network = networks.prior().to(run.device).train()
    nn.init.normal_(network.positional_embedding, std=0.02)
    nn.init.normal_(network.prd_embedding, std=0.02)
    embeddings = image_embeddings(run, data.pictures)
    network.clip_mean.data = embeddings.mean(0, keepdim=True).to(run.device)
    network.clip_std.data = embeddings.std(0, keepdim=True).to(run.device)
    network.clip_mean.requires_grad_(False)
    network.clip_std.requires_grad_(False)
    average = Average(network, run.folder / "prior.partial.pt")
    encoder, empty = text_encoder(run), empty_tokens(run)
    kept = networks.prior_scheduler().alphas_cumprod

    def loss() -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(data), (_BATCH,), generator=random)
        columns = torch.randint(data.tokens.shape[1], (_BATCH,), generator=random)
        dropped = torch.rand(_BATCH, 1, generator=random) < _DROPPED
        tokens = torch.where(dropped, empty, data.tokens[rows, columns]).to(run.device)
        times = torch.randint(1000, (_BATCH,), generator=random)
        noise = torch.randn(_BATCH, networks.EMBEDDING, generator=random).to(run.device)
        target = embeddings[rows].to(run.device)
        target = (target - network.clip_mean) / network.clip_std
        alpha = kept[times].to(run.device)[:, None]
        noisy = alpha.sqrt() * target + (1 - alpha).sqrt() * noise
        pooled, hidden = read(encoder, tokens)
        guess = network(
            noisy, times.to(run.device), pooled, hidden, text_mask(tokens)
        ).predicted_image_embedding
        error = F.mse_loss(guess.float(), target, reduction="none").mean(1)
        late = times.to(run.device) > 900  # almost only noise: only the caption tells anything
        return error.mean(), {"error_from_noise": error[late].mean().item()}

    def after_step() -> None:
        average.update(network)

    trained = [value for value in network.parameters() if value.requires_grad]
    optimise(run, "prior", trained, loss, _STEPS, 1e-3, after_step)
    network.load_state_dict(average.weights)
    torch.save(network.cpu().state_dict(), run.folder / "prior.pt")
