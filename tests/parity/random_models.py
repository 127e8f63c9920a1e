"""A small random Kandinsky 2.2 of an awkward shape, with all its decoders, saved by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kandinsky_core.checkpoints.hub import EMBEDDED
from tests.parity import tiny

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

__all__ = ["calm_movq", "save_decoder", "save_image_tasks", "save_prior"]

_WIDTH = tiny.CLIP_TEXT["projection_dim"]


def save_prior(folder: Path) -> None:
    """Save a prior, with the tokenizer of the embedded model."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(EMBEDDED["shapes"] / "prior/tokenizer")
    length = tokenizer.model_max_length
    text = tiny.CLIP_TEXT | {"max_position_embeddings": length, "vocab_size": len(tokenizer)}
    diffusers.KandinskyV22PriorPipeline(
        prior=tiny.prior(tiny.PRIOR | {"embedding_dim": _WIDTH, "num_embeddings": length}),
        image_encoder=tiny.clip_vision(tiny.CLIP_VISION | {"projection_dim": _WIDTH}),
        text_encoder=tiny.clip_text(text | {"hidden_size": _WIDTH}),
        tokenizer=tokenizer,
        scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
        ),
        image_processor=transformers.CLIPImageProcessor(size=42, crop_size=42),
    ).save_pretrained(folder)


def save_decoder(folder: Path) -> None:
    """Save a decoder of text to image."""
    _save(diffusers.KandinskyV22Pipeline, folder, _calm_unet())


def save_image_tasks(root: Path) -> None:
    """Save a decoder for inpainting and one for a ControlNet."""
    unet = _calm_unet(in_channels=9)
    _save(diffusers.KandinskyV22InpaintPipeline, root / "inpaint", unet)
    unet = _calm_unet(in_channels=8, addition_embed_type="image_hint")
    _save(diffusers.KandinskyV22ControlnetPipeline, root / "controlnet", unet)


def _save(pipeline_class: Any, folder: Path, unet: Any) -> None:
    """With the published scheduler, which clips the predicted sample but for inpainting.

    A random UNet needs that there too: without it the reference turns a change of its input by 1e-6
    into one of 1e-3.
    """
    scheduler = diffusers.DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, steps_offset=1, clip_sample=True
    )
    pipeline_class(unet=unet, scheduler=scheduler, movq=calm_movq()).save_pretrained(folder)


def _calm_unet(**config: Any) -> Any:
    """A random UNet that predicts noise of about unit size, as a trained one does."""
    config = tiny.UNET | {"encoder_hid_dim": _WIDTH, "sample_size": 16} | config
    unet = tiny.unet(config)
    generator = torch.Generator().manual_seed(0)
    hinted = config["addition_embed_type"] == "image_hint"
    sample = torch.randn((1, 4 if hinted else config["in_channels"], 16, 16), generator=generator)
    added = {"image_embeds": torch.randn((1, _WIDTH), generator=generator)}
    if hinted:
        added["hint"] = torch.rand((1, 3, 128, 128), generator=generator)
    noise = unet(sample, 500, None, added_cond_kwargs=added).sample
    unet.conv_out.weight /= noise.std()
    unet.conv_out.bias /= noise.std()
    return unet


def calm_movq() -> Any:
    """A random MoVQ whose pixels fill [-1, 1] and whose latents have unit size.

    As drawn its pixels reach 50, and rounding with them.
    """
    movq = tiny.movq(tiny.MOVQ)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn((1, 4, 8, 8), generator=generator)
    pixels = movq.decode(latents, force_not_quantize=True).sample
    movq.decoder.conv_out.weight /= 2 * pixels.std()
    movq.decoder.conv_out.bias /= 2 * pixels.std()
    size = movq.encode(torch.rand((1, 3, 16, 16), generator=generator) * 2 - 1).latents.std()
    movq.quant_conv.weight /= size
    movq.quant_conv.bias /= size
    return movq
