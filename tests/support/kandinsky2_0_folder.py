"""Writes small files of Kandinsky 2.0 as published, with tokenizers of four scripts."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from kandinsky_converters.inventory.expected import expected_tensors
from kandinsky_core.arrays import Array
from tests.parity.test_convert_original import original_movq, original_unet
from tests.support.torch_archive import write_torch_file

__all__ = ["PROMPTS", "write_original", "write_tokenizers"]

PROMPTS = (
    "a red cat sits in space, 4k photo",
    "красный кот сидит в космосе, фото",
    "一只红色的猫坐在太空里的照片",
    "قطة حمراء تجلس في الفضاء، صورة",
)
_HEAD = 64  # nothing in the files tells the width of a head
UNET = {
    "_class_name": "Kandinsky20UNet",
    "in_channels": 4,
    "out_channels": 8,
    "block_out_channels": [64, 128, 64, 128],  # as many shortcuts as published
    "down_block_types": ["ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3],
    "up_block_types": [*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "resnet_time_scale_shift": "scale_shift",
    "layers_per_block": 3,
    "attention_head_dim": _HEAD,
    "cross_attention_dim": 12,
    "encoder_hid_dim": 32,
    "encoder_hid_dim_2": 16,
    "text_embed_dim": 20,
    "addition_embed_type": "two_texts",
    "encoder_hid_dim_type": "two_texts_proj",
}
VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [32, 64, 96, 96],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.0512,
}
# config.json of the two text encoders, as published but for the sizes.
TEXT_ENCODER = {
    "architectures": ["XLMRobertaForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 16,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 82,
    "model_type": "xlm-roberta",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "output_past": True,
    "pad_token_id": 1,
    "position_embedding_type": "absolute",
    "type_vocab_size": 1,
    "use_cache": True,
    "vocab_size": 400,
}
TEXT_ENCODER_2 = {
    "architectures": ["MT5ForConditionalGeneration"],
    "d_ff": 24,
    "d_kv": 8,
    "d_model": 16,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "mt5",
    "num_decoder_layers": 2,
    "num_heads": 2,
    "num_layers": 2,
    "pad_token_id": 0,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "tokenizer_class": "T5Tokenizer",
    "vocab_size": 400,
}
_TO_HALF = ("emb_layers", "in_layers.0", "out_layers.0", ".norm.", "time_embed", "out.0", "out.2")


def random(config: dict[str, Any], class_name: str, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape, np.float32) * np.float32(0.1)
        for name, shape in expected_tensors(class_name, config).items()
    }


def unet_file(state: dict[str, Array]) -> dict[str, Array]:
    """The UNet's file: half of it in half precision."""
    leaves = ("weight", "bias")
    lacking = ("encoder_hid_proj.image_embeds", "add_embedding.image_proj")  # which 2.1 has
    stand_in = {f"{layer}.{leaf}": np.zeros(1) for layer in lacking for leaf in leaves}
    made = original_unet(stand_in | state, _HEAD)
    of_2_1 = ("clip_to_seq", "to_model_dim_n", "proj_n", "ln_model_n", "img_layer")
    made = {name: array for name, array in made.items() if name.split(".")[0] not in of_2_1}
    for leaf in leaves:
        made[f"to_model_dim.{leaf}"] = state[f"encoder_hid_proj.text_proj.{leaf}"]
        made[f"to_model_dim2.{leaf}"] = state[f"encoder_hid_proj.text_proj_2.{leaf}"]
        made[f"ln_model1.{leaf}"] = state[f"encoder_hid_proj.norm.{leaf}"]
        made[f"proj.{leaf}"] = state[f"add_embedding.text_proj.{leaf}"]
        made[f"ln_model2.{leaf}"] = state[f"add_embedding.text_norm.{leaf}"]
        for layer in "qkv":
            made[f"proj2.{layer}_linear.{leaf}"] = state[f"add_embedding.pool.{layer}.{leaf}"]
        made[f"proj2.out.{leaf}"] = state[f"add_embedding.pool.out.{leaf}"]
        made[f"ln_model3.{leaf}"] = state[f"add_embedding.pool_norm.{leaf}"]
    assert len(made) == 604
    return {
        name: array if any(part in name for part in _TO_HALF) else array.astype(np.float16)
        for name, array in made.items()
    }


def save_lightning(path: Path, vae: dict[str, Array]) -> None:
    """The state of a training, whose pickle names a class of PyTorch Lightning."""
    import torch

    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    wrote = type("ModelCheckpoint", (), {"__module__": name})
    module.ModelCheckpoint = wrote  # type: ignore[attr-defined]
    parents = ("pytorch_lightning", "pytorch_lightning.callbacks")
    sys.modules.update({parent: types.ModuleType(parent) for parent in parents} | {name: module})
    state = {key: torch.from_numpy(array) for key, array in original_movq(vae).items()}
    state["loss.logvar"] = torch.zeros(())
    state["loss.discriminator.main.0.weight"] = torch.zeros(4, 3, 4, 4)
    score = {"monitor": "val/rec_loss", "best_model_score": torch.ones(()), "best_model_path": "x"}
    moments = {"step": 3, "exp_avg": torch.zeros(2)}
    try:
        torch.save(
            {
                "epoch": 3,
                "global_step": 7,
                "pytorch-lightning_version": "1.0.8",
                "state_dict": state,
                "callbacks": {wrote: score},
                "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 4.5e-06}]}],
                "lr_schedulers": [],
            },
            path,
        )
    finally:
        for known in (*parents, name):
            del sys.modules[known]


def write_original(folder: Path) -> dict[str, dict[str, Array]]:
    """Write all files; return the tensors under the names of this library, by component."""
    found = {
        "unet": random(UNET, "Kandinsky20UNet", 1),
        "inpaint": random({**UNET, "in_channels": 9}, "Kandinsky20UNet", 2),
        "vae": random(VAE, "AutoencoderKL", 3),
    }
    first = {**TEXT_ENCODER, "numDims": 20, "transformerDimensions": 32}
    found["text_encoder"] = random(first, "MultilingualCLIP", 4)
    found["text_encoder_2"] = random(TEXT_ENCODER_2, "MT5EncoderModel", 5)
    write_torch_file(folder / "Kandinsky-2-0.pt", unet_file(found["unet"]))
    write_torch_file(folder / "Kandinsky-2-0-inpainting.pt", unet_file(found["inpaint"]))
    save_lightning(folder / "vae.ckpt", found["vae"])
    positions = {"transformer.embeddings.position_ids": np.arange(82)[None]}
    pooler = {"transformer.pooler.dense.weight": np.zeros((32, 32), np.float32)}
    table = {"encoder.embed_tokens.weight": found["text_encoder_2"]["shared.weight"]}
    half = {"decoder.final_layer_norm.weight": np.ones(16, np.float32)}
    half |= {"lm_head.weight": np.zeros((400, 16), np.float32)}
    for number, config, tensors in (
        (1, TEXT_ENCODER, found["text_encoder"] | positions | pooler),
        (2, TEXT_ENCODER_2, found["text_encoder_2"] | table | half),
    ):
        place = folder / f"text_encoder{number}"
        place.mkdir()
        (place / "config.json").write_text(json.dumps(config))
        write_torch_file(place / "pytorch_model.bin", tensors)
    write_tokenizers(folder)
    return found


def write_tokenizers(folder: Path) -> None:
    """Train pieces of four scripts; the first encoder has them as XLM-RoBERTa's file does."""
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    model = folder / "text_encoder2/spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROMPTS * 4),
        model_prefix=str(model),
        vocab_size=120,
        hard_vocab_limit=False,
        model_type="unigram",
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
        num_threads=1,
    )
    settings = json.dumps({"extra_ids": 0})
    (folder / "text_encoder2/tokenizer_config.json").write_text(settings)
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{model}.model")
    special = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    own = [
        (pieces.id_to_piece(number), pieces.get_score(number))
        for number in range(3, pieces.vocab_size())
    ]
    made = Tokenizer(models.Unigram([*special, *own, ("<mask>", 0.0)], unk_id=3))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    made.save(str(folder / "text_encoder1/tokenizer.json"))
