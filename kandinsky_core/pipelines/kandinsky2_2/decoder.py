"""What the decoders of Kandinsky 2 share: a UNet that reads CLIP image embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.denoising.noise import SeededGenerators, as_generators
from kandinsky_core.errors import ConfigError
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.validation import as_batch, positive_int

__all__ = ["EmbeddingDecoder", "seeded"]

# (kind, whether it reads texts) -> the pipeline that a UNet is for
_PIPELINES = {
    ("decoder", False): "KandinskyV22Pipeline",
    ("inpaint", False): "KandinskyV22InpaintPipeline",
    ("controlnet", False): "KandinskyV22ControlnetPipeline",
    ("decoder", True): "KandinskyPipeline",
    ("inpaint", True): "KandinskyInpaintPipeline",
}


class EmbeddingDecoder(DecoderPipeline):
    """Base of the decoders: CLIP image embeddings in, pictures out.

    Attributes:
        reads_text: Whether the UNet reads texts too, as in Kandinsky 2.1.
    """

    callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "image_embeds")
    reads_text: ClassVar[bool] = False

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse a UNet that was trained for another task.

        Raises:
            ConfigError: Says which task the UNet is for.
        """
        unet = configs.get("unet")
        if unet is None:
            return
        wanted, found = (cls.kind, cls.reads_text), (unet.kind, unet.takes_text)
        if found != wanted:
            raise ConfigError(
                f"{cls.__name__} needs the UNet of {_PIPELINES[wanted]}, and this is one of "
                f"{_PIPELINES.get(found, found[0])} ({unet.in_channels} input channels, "
                f"{unet.addition_embed_type}): load another checkpoint"
            )

    @property
    def default_size(self) -> int:
        """Side in pixels that the UNet was trained at: 512 for the published models."""
        return int(self.unet.config.sample_size * self.movq_scale_factor)

    def _embeds(self, embeds: Any, negative: Any, copies: Any, guided: bool) -> FloatArray:
        """Check and repeat the embeddings; the unconditional rows come first."""
        size = self.unet.config.image_embed_dim
        copies = positive_int("num_images_per_prompt", copies)
        positive = as_batch("image_embeds", embeds, (None, size))
        rows = [positive]
        if guided:
            rows = [as_batch("negative_image_embeds", negative, positive.shape), positive]
        return np.concatenate([np.repeat(row, copies, axis=0) for row in rows])

    def _stand_ins(self) -> dict[str, Any]:
        embeds = np.zeros((1, self.unet.config.image_embed_dim), np.float32)
        return {**super()._stand_ins(), "image_embeds": embeds, "negative_image_embeds": embeds}


def seeded(
    generator: Any, seed: Any, embeds: FloatArray, guided: bool
) -> tuple[SeededGenerators, int]:
    """Return the generators and the number of pictures that the embeddings stand for."""
    count = len(embeds) // 2 if guided else len(embeds)
    return as_generators(generator, seed, count), count
