"""A small random Kandinsky 2.1 of an awkward shape, with all its halves, saved by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kandinsky_core.checkpoints.hub import EMBEDDED
from tests.parity import tiny
from tests.parity.random_models import calm_movq
from tests.support.xlm_roberta_vocabulary import multilingual_tokenizer

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

__all__ = ["UNET", "WIDTH", "fast_tokenizer", "multilingual_clip", "save_kandinsky2_1"]

# Of the image embeddings and the pooled text; the UNet's config gives it as `cross_attention_dim`.
WIDTH = tiny.UNET["cross_attention_dim"]
_TEXT = {
    "transformerDimensions": 48,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "max_position_embeddings": 80,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "numDims": WIDTH,
}
UNET = tiny.UNET | {
    "addition_embed_type": "text_image",
    "encoder_hid_dim": _TEXT["hidden_size"],
    "encoder_hid_dim_type": "text_image_proj",
    "sample_size": 16,
}
_SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "thresholding": False,
}


def save_kandinsky2_1(root: Path) -> None:
    """Save `prior`, `decoder` and `inpaint`, each with the published scheduler."""
    _save_prior(root / "prior")
    tokenizer = fast_tokenizer()
    parts = {
        "text_encoder": multilingual_clip(len(tokenizer)),
        "tokenizer": tokenizer,
        "scheduler": diffusers.DDIMScheduler(**_SCHEDULER),
        "movq": _wide_movq(),
    }
    pipeline = diffusers.KandinskyPipeline(**parts, unet=_calm_unet(in_channels=4))
    pipeline.save_pretrained(root / "decoder")
    pipeline = diffusers.KandinskyInpaintPipeline(**parts, unet=_calm_unet(in_channels=9))
    pipeline.save_pretrained(root / "inpaint")


def fast_tokenizer() -> Any:
    """transformers' tokenizer with the small vocabulary."""
    tokenizer = multilingual_tokenizer()
    return transformers.XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=512)


def multilingual_clip(vocabulary: int) -> Any:
    """A random text encoder."""
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP

    return tiny._disturbed(lambda: MultilingualCLIP(MCLIPConfig(**_TEXT, vocab_size=vocabulary)))


def _save_prior(folder: Path) -> None:
    tokenizer = transformers.CLIPTokenizer.from_pretrained(EMBEDDED["shapes"] / "prior/tokenizer")
    length = tokenizer.model_max_length
    text = tiny.CLIP_TEXT | {
        "max_position_embeddings": length,
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "projection_dim": WIDTH,
        "hidden_act": "quick_gelu",
    }
    vision = tiny.CLIP_VISION | {"projection_dim": WIDTH, "hidden_act": "quick_gelu"}
    diffusers.KandinskyPriorPipeline(
        prior=tiny.prior(tiny.PRIOR | {"embedding_dim": WIDTH, "num_embeddings": length}),
        image_encoder=tiny.clip_vision(vision),
        text_encoder=tiny.clip_text(text),
        tokenizer=tokenizer,
        scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
        ),
        image_processor=transformers.CLIPImageProcessor(size=42, crop_size=42),
    ).save_pretrained(folder)


def _calm_unet(in_channels: int) -> Any:
    """A random UNet that predicts noise of about unit size, as a trained one does."""
    unet = tiny.unet(UNET | {"in_channels": in_channels})
    generator = torch.Generator().manual_seed(0)
    added = {
        "image_embeds": torch.randn((1, WIDTH), generator=generator),
        "text_embeds": torch.randn((1, WIDTH), generator=generator),
    }
    states = torch.randn((1, 77, _TEXT["hidden_size"]), generator=generator)
    sample = torch.randn((1, in_channels, 16, 16), generator=generator)
    noise = unet(sample, 500, states, added_cond_kwargs=added).sample
    unet.conv_out.weight /= noise.std()
    unet.conv_out.bias /= noise.std()
    return unet


def _wide_movq(size: float = 24) -> Any:
    """A random MoVQ for latents of about `size`.

    Nothing clips the samples of 2.1's scheduler. Noise that a random UNet does not know how to
    remove grows 24-fold from the first step to the last, and a decoder for latents of unit size
    then turns a change of the latents by 1e-6 into one of the picture by 0.4.
    """
    movq = calm_movq()
    for name, parameter in movq.decoder.named_parameters():
        if name.endswith(("conv_y.weight", "conv_b.weight")):
            parameter /= size
    movq.post_quant_conv.weight /= size
    return movq
