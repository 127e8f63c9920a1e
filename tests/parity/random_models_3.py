"""Kandinsky 3 with small random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.parity import tiny

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

TEXTS = ("a red circle on a blue background", "a green square", "low quality", "two yellow stars")
MOVQ = tiny.MOVQ_DEEP | {"latent_channels": 4, "layers_per_block": 1, "vq_embed_dim": 4}


def tokenizer() -> Any:
    """T5's, trained on these texts."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>")
    made.train_from_iterator(TEXTS * 5, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return transformers.T5TokenizerFast(tokenizer_object=made, extra_ids=0)


def save_kandinsky3(path: Path) -> Path:
    """As diffusers saves it; clipping keeps the random UNet's values small."""
    diffusers.Kandinsky3Pipeline(
        tokenizer=tokenizer(),
        text_encoder=tiny.t5(tiny.T5),
        unet=tiny.kandinsky3_unet(tiny.KANDINSKY3_UNET_SHALLOW),
        scheduler=diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=True),
        movq=tiny.movq(MOVQ),
    ).save_pretrained(path)
    return path
