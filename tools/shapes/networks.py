"""The networks of `shapes`: published Kandinsky 2.2 configurations with small widths."""

from __future__ import annotations

from pathlib import Path

from diffusers import (
    DDPMScheduler,
    PriorTransformer,
    UnCLIPScheduler,
    UNet2DConditionModel,
    VQModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from tools.shapes.vocabulary import END, START

__all__ = [
    "EMBEDDING",
    "SIDE",
    "TOKENS",
    "controlnet_unet",
    "decoder_scheduler",
    "image_encoder",
    "image_processor",
    "inpaint_unet",
    "movq",
    "prior",
    "prior_scheduler",
    "text_encoder",
    "tokenizer",
    "unet",
]

SIDE = 64  # pixels
TOKENS = 40  # longest caption, start and end included
EMBEDDING = 96  # width of the CLIP space


def tokenizer(folder: Path) -> CLIPTokenizer:
    """Read vocab.json and merges.txt from the folder."""
    return CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=TOKENS,
    )


def text_encoder(vocabulary: int) -> CLIPTextModelWithProjection:
    """Build the text half of CLIP; eos_token_id 2 means pooling at the largest id, as published."""
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=EMBEDDING,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=3,
            max_position_embeddings=TOKENS,
            projection_dim=EMBEDDING,
            hidden_act="gelu",
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        )
    )


def image_encoder() -> CLIPVisionModelWithProjection:
    """Build the image half of CLIP."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=SIDE,
            patch_size=8,
            projection_dim=EMBEDDING,
            hidden_act="gelu",
        )
    )


def image_processor() -> CLIPImageProcessor:
    """Build the published image preprocessing for pictures of 64 pixels."""
    return CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )


def movq() -> VQModel:
    """Build the autoencoder: three levels, so a latent pixel covers 4 x 4 pixels."""
    return VQModel(
        block_out_channels=(32, 32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=64,
        vq_embed_dim=4,
        sample_size=SIDE,
    )


def prior() -> PriorTransformer:
    """Build the diffusion prior from text to image embedding."""
    return PriorTransformer(
        num_attention_heads=3,
        attention_head_dim=64,
        num_layers=4,
        embedding_dim=EMBEDDING,
        num_embeddings=TOKENS,
        additional_embeddings=4,
    )


def unet(inputs: int = 4, addition: str = "image") -> UNet2DConditionModel:
    """Build the decoder's UNet; the second half of the 8 output channels is the unused variance."""
    cross_down, cross_up = "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnUpBlock2D"
    return UNet2DConditionModel(
        sample_size=SIDE // 4,
        in_channels=inputs,
        out_channels=8,
        block_out_channels=(64, 96, 96),
        down_block_types=("ResnetDownsampleBlock2D", cross_down, cross_down),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(cross_up, cross_up, "ResnetUpsampleBlock2D"),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=64,
        attention_head_dim=32,
        addition_embed_type=addition,
        encoder_hid_dim=EMBEDDING,
        encoder_hid_dim_type="image_proj",
        resnet_time_scale_shift="scale_shift",
    )


def inpaint_unet() -> UNet2DConditionModel:
    """Build the UNet whose input also holds the kept latents (4 channels) and the mask (1)."""
    return unet(9)


def controlnet_unet() -> UNet2DConditionModel:
    """Build the UNet that shrinks the hint by 8 to 4 more channels of its input."""
    return unet(8, "image_hint")


def prior_scheduler() -> UnCLIPScheduler:
    """Build the prior's published scheduler."""
    return UnCLIPScheduler(
        variance_type="fixed_small_log",
        num_train_timesteps=1000,
        clip_sample=True,
        clip_sample_range=10.0,
        prediction_type="sample",
        beta_schedule="squaredcos_cap_v2",
    )


def decoder_scheduler(clip_sample: bool = True) -> DDPMScheduler:
    """Build the decoder's published scheduler; the one for inpainting does not clip."""
    return DDPMScheduler.from_config(
        {
            "num_train_timesteps": 1000,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "linear",
            "clip_sample": clip_sample,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "prediction_type": "epsilon",
            "thresholding": False,
        }
    )
