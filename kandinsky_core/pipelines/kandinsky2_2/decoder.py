"""What the decoders of Kandinsky 2 share: a UNet that reads CLIP image embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.errors import ConfigError, InvalidInputError
from kandinsky_core.pipelines.shared.callback_values import View
from kandinsky_core.pipelines.shared.decoder import DecoderPipeline
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.validation import as_batch, positive_int

__all__ = ["EmbeddingDecoder", "EmbedsToCome"]

# (kind, family) -> the pipeline that a UNet is for
_PIPELINES = {
    ("decoder", "2.2"): "KandinskyV22Pipeline",
    ("inpaint", "2.2"): "KandinskyV22InpaintPipeline",
    ("controlnet", "2.2"): "KandinskyV22ControlnetPipeline",
    ("decoder", "2.1"): "KandinskyPipeline",
    ("inpaint", "2.1"): "KandinskyInpaintPipeline",
    ("decoder", "2.0"): "Kandinsky20Pipeline",
    ("inpaint", "2.0"): "Kandinsky20InpaintPipeline",
    ("decoder", "3"): "Kandinsky3Pipeline",
    ("inpaint", "3"): "Kandinsky3InpaintPipeline",
}


@dataclass(frozen=True, slots=True)
class EmbedsToCome:
    """Stands for image embeddings that a prior makes between a decoder's `prepare` and its `run`.

    Attributes:
        count: Number of embeddings, one for each picture.
    """

    count: int


class EmbeddingDecoder(DecoderPipeline):
    """Base of the decoders: CLIP image embeddings in, pictures out.

    Attributes:
        reads_text: Whether the UNet reads texts too, as in Kandinsky 2.1.
    """

    callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "image_embeds",
        "negative_image_embeds",
    )
    callback_views: ClassVar[Mapping[str, View]] = {
        "negative_image_embeds": View("image_embeds", unconditional=True)
    }
    reads_text: ClassVar[bool] = False

    @classmethod
    def check_configs(cls, configs: Mapping[str, Any]) -> None:
        """Refuse a UNet that was trained for another task.

        Raises:
            ConfigError: The UNet is for another task; the message says for which.
        """
        unet = configs.get("unet")
        if unet is None:
            return
        wanted = cls.kind, "2.1" if cls.reads_text else "2.2"
        found = unet.kind, unet.family
        if found != wanted:
            extra = "" if unet.family == "3" else f", {unet.addition_embed_type}"
            raise ConfigError(
                f"{cls.__name__} needs the UNet of {_PIPELINES[wanted]}, and this is one of "
                f"{_PIPELINES.get(found, found[0])} ({unet.in_channels} input channels{extra}): "
                "load another checkpoint"
            )

    def check_embeds(
        self, embeds: Any, negative: Any, copies: Any, plan: DecoderPlan
    ) -> tuple[FloatArray | None, int]:
        """Check image embeddings; return them with a row for each picture, and that number.

        The returned embeddings are None while a prior has yet to make them.

        Args:
            embeds: Image embeddings [E, D], a list of such arrays, or `EmbedsToCome`.
            negative: Unconditional embeddings, which guidance needs.
            copies: Number of pictures of each embedding.
            plan: Sizes, and whether guidance is on.

        Raises:
            InvalidInputError: The embeddings have another shape, or `copies` is no number of
                pictures.
            DeviceMemoryError: The pictures are too many for the device.
        """
        copies = positive_int("num_images_per_prompt", copies)
        if isinstance(embeds, EmbedsToCome):
            return None, embeds.count * copies
        positive = as_batch("image_embeds", embeds, (None, self.unet.config.image_embed_dim))
        count = len(positive) * copies
        self.require_room(plan, count)  # before the embeddings are repeated
        return self._joined(positive, negative, copies, plan.guided), count

    def _joined(self, positive: FloatArray, negative: Any, copies: int, guided: bool) -> FloatArray:
        """Repeat the embeddings; the unconditional rows come first."""
        rows = [positive]
        if guided:
            rows = [as_batch("negative_image_embeds", negative, positive.shape), positive]
        return np.concatenate([np.repeat(row, copies, axis=0) for row in rows])

    def with_embeds(
        self, request: DecoderRequest, image_embeds: Any, negative_image_embeds: Any
    ) -> DecoderRequest:
        """Return a request for `EmbedsToCome` with the embeddings that the prior has made.

        Args:
            request: What `prepare` of this pipeline returned.
            image_embeds: An embedding for each picture, [B, D].
            negative_image_embeds: Unconditional embeddings [B, D], which guidance needs.

        Raises:
            InvalidInputError: The embeddings have another shape.
        """
        shape = (request.count, self.unet.config.image_embed_dim)
        made = as_batch("image_embeds", image_embeds, shape)
        embeds = self._joined(made, negative_image_embeds, 1, request.plan.guided)
        return replace(request, embeds=embeds)

    def _require_complete(self, request: DecoderRequest) -> None:
        if request.embeds is None:
            raise InvalidInputError("the request's embeddings are to come: add them by with_embeds")

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        assert request.embeds is not None  # or `_require_complete` would have refused
        return {"image_embeds": request.embeds}

    def _stand_ins(self) -> dict[str, Any]:
        embeds = np.zeros((1, self.unet.config.image_embed_dim), np.float32)
        return {**super()._stand_ins(), "image_embeds": embeds, "negative_image_embeds": embeds}
