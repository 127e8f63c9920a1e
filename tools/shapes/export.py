"""Write the trained networks as two folders in the layout of the published repositories."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline
from torch import nn

from tools.shapes import networks

__all__ = ["export"]


def _load(network: nn.Module, path: Path) -> nn.Module:
    """Fill in trained weights where there are some."""
    if path.is_file():
        network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval().half()


def export(stages: Path, output: Path) -> None:
    """Save `output`/prior and `output`/decoder in float16 from the weights in `stages`.

    A network without trained weights is saved with its random ones.
    """
    tokenizer = networks.tokenizer(stages)
    prior = KandinskyV22PriorPipeline(
        prior=_load(networks.prior(), stages / "prior.pt"),
        image_encoder=_load(networks.image_encoder(), stages / "image_encoder.pt"),
        text_encoder=_load(networks.text_encoder(len(tokenizer)), stages / "text_encoder.pt"),
        tokenizer=tokenizer,
        scheduler=networks.prior_scheduler(),
        image_processor=networks.image_processor(),
    )
    decoder = KandinskyV22Pipeline(
        unet=_load(networks.unet(), stages / "unet_refined.pt"),
        scheduler=networks.decoder_scheduler(),
        movq=_load(networks.movq(), stages / "movq.pt"),
    )
    for name, pipeline in (("prior", prior), ("decoder", decoder)):
        folder = output / name
        if folder.exists():
            shutil.rmtree(folder)
        pipeline.save_pretrained(folder, safe_serialization=True)
