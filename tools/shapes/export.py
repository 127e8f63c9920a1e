"""Write the trained networks as four folders in the layout of the published repositories."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import (
    KandinskyV22ControlnetPipeline,
    KandinskyV22InpaintPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from torch import nn

from tools.shapes import networks

__all__ = ["export"]


def _load(network: nn.Module, path: Path) -> nn.Module:
    """Fill in trained weights if their file exists."""
    if path.is_file():
        network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval().half()


def export(stages: Path, output: Path) -> None:
    """Save prior, decoder, inpaint and controlnet to `output` in float16, from files in `stages`.

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
    movq = _load(networks.movq(), stages / "movq.pt")
    decoder = KandinskyV22Pipeline(
        unet=_load(networks.unet(), stages / "unet_refined.pt"),
        scheduler=networks.decoder_scheduler(),
        movq=movq,
    )
    inpaint = KandinskyV22InpaintPipeline(
        unet=_load(networks.inpaint_unet(), stages / "unet_inpaint.pt"),
        scheduler=networks.decoder_scheduler(clip_sample=False),
        movq=movq,
    )
    controlnet = KandinskyV22ControlnetPipeline(
        unet=_load(networks.controlnet_unet(), stages / "unet_controlnet.pt"),
        scheduler=networks.decoder_scheduler(),
        movq=movq,
    )
    folders = {"prior": prior, "decoder": decoder, "inpaint": inpaint, "controlnet": controlnet}
    for name, pipeline in folders.items():
        folder = output / name
        if folder.exists():
            shutil.rmtree(folder)
        pipeline.save_pretrained(folder, safe_serialization=True)
