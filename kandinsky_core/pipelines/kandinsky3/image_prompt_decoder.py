"""Pictures beside the prompt of Kandinsky 3: what a UNet with an IP-Adapter is told of them.

Source: `KandinskyV3PipelineIpAdapter` in ai-forever/kandinsky3-diffusers; names of arguments and
methods are those of diffusers' pipelines that have IP-Adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.loop import require_finite
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.clip_images import clip_pixels
from kandinsky_core.pictures.inputs import as_array
from kandinsky_core.pipelines.kandinsky3.ip_adapter_calls import IpAdapterCalls
from kandinsky_core.pipelines.kandinsky3.verified_parts import ImagePromptParts
from kandinsky_core.pipelines.shared.image_prompt import ImagePrompt, pictures_of, weights_of
from kandinsky_core.pipelines.shared.requests import DecoderPlan, DecoderRequest
from kandinsky_core.pipelines.shared.verified_parts import VerifiedParts
from kandinsky_core.validation import as_batch, positive_int, real_number

__all__ = ["ImagePromptDecoder"]


class ImagePromptDecoder(IpAdapterCalls):
    """Base of the pipelines of Kandinsky 3 that take pictures beside the prompt."""

    verified: ClassVar[type[VerifiedParts]] = ImagePromptParts

    def check_image_prompt(
        self, plan: DecoderPlan, image: Any, embeds: Any, weights: Any, scale: Any = None
    ) -> ImagePrompt | None:
        """Check the pictures of a call; None where there are none.

        Args:
            plan: The plan of the call.
            image: See `ip_adapter_image` of a call.
            embeds: See `ip_adapter_image_embeds` of a call.
            weights: See `ip_adapter_weights` of a call.
            scale: In place of the one that `set_ip_adapter_scale` has set.

        Raises:
            InvalidInputError: The UNet has no IP-Adapter, an item is no picture, or numbers and
                shapes do not agree.
        """
        if image is None and embeds is None:
            if weights is not None:
                raise InvalidInputError("ip_adapter_weights: give ip_adapter_image too")
            return None
        name = "ip_adapter_image" if embeds is None else "ip_adapter_image_embeds"
        self._require_ip_adapter(name)
        chosen = self._ip_adapter_scale if scale is None else real_number("scale", scale)
        if embeds is None:
            pixels = self._clip_pixels(image)
            return ImagePrompt(
                pixels=pixels, weights=weights_of(weights, len(pixels)), scale=chosen
            )
        if image is not None or weights is not None:
            raise InvalidInputError(
                "ip_adapter_image_embeds holds mixed pictures: leave ip_adapter_image and "
                "ip_adapter_weights out"
            )
        width = self.unet.config.image_embed_dim
        only = embeds[0] if isinstance(embeds, (list, tuple)) and len(embeds) == 1 else embeds
        rows = as_array(name, only)
        if rows.ndim == 3 and rows.shape[1] == 1:  # the axis of diffusers' pictures
            rows = rows[:, 0]
        found = as_batch(name, rows, (None, width))
        if len(found) not in ((2,) if plan.guided else (1, 2)):
            raise InvalidInputError(
                f"{name} has {len(found)} rows: give the unconditional one and the one of the "
                "pictures, as prepare_ip_adapter_image_embeds returns them"
            )
        return ImagePrompt(embeds=found, scale=chosen)

    def _clip_pixels(self, image: Any) -> tuple[FloatArray, ...]:
        """Return the pixels [1, 3, S, S] of each picture."""
        if self.image_encoder is None:
            raise InvalidInputError(
                "ip_adapter_image: this pipeline has no image encoder; give "
                "ip_adapter_image_embeds, or load it with its image_encoder"
            )
        size = self.image_encoder.config.image_size
        name = "ip_adapter_image"
        found: list[FloatArray] = []
        for item in pictures_of(name, image):
            if getattr(item, "ndim", 0) == 4:
                rows = as_batch(f"{name} (as CLIP's pixels)", item, (None, 3, size, size))
                found += [row[None] for row in rows]
            else:
                found.append(clip_pixels(name, item, self.feature_extractor or {}))
        return tuple(found)

    def get_zero_embed(self, batch_size: int = 1, device: Any = None) -> FloatArray:
        """Return the embedding of an image that is all zero, the unconditional one: [n, D].

        Args:
            batch_size: n, the number of rows.
            device: Has no effect; scripts may pass it.

        Raises:
            InvalidInputError: The pipeline has no image encoder.
        """
        count = positive_int("batch_size", batch_size)
        if self.image_encoder is None:
            raise InvalidInputError("this pipeline has no image encoder: load it with one")
        size = self.image_encoder.config.image_size
        return np.repeat(self._clip_embeds(np.zeros((1, 3, size, size), np.float32)), count, 0)

    def prepare_ip_adapter_image_embeds(
        self,
        ip_adapter_image: Any,
        ip_adapter_image_embeds: Any = None,
        device: Any = None,
        num_images_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True,
        *,
        ip_adapter_weights: Sequence[float] | None = None,
    ) -> list[FloatArray]:
        """Encode pictures, so that later calls take the result as `ip_adapter_image_embeds`.

        Args:
            ip_adapter_image: As for a call.
            ip_adapter_image_embeds: Such a result, which is returned as it is.
            device: Has no effect; the result is NumPy's.
            num_images_per_prompt: Has no effect; a call repeats what it needs.
            do_classifier_free_guidance: Whether the unconditional embedding comes first.
            ip_adapter_weights: As for a call.

        Returns:
            A list of one array [2, 1, D], or [1, 1, D] without guidance.

        Raises:
            InvalidInputError: An item is no picture, or there is no image encoder.
            NonFiniteError: The image encoder gave NaN or infinity.
        """
        if ip_adapter_image_embeds is not None:
            return list(ip_adapter_image_embeds)
        pixels = self._clip_pixels(ip_adapter_image)
        prompt = ImagePrompt(pixels=pixels, weights=weights_of(ip_adapter_weights, len(pixels)))
        return [self._embeds(prompt, bool(do_classifier_free_guidance))[:, None]]

    def _clip_embeds(self, pixels: FloatArray) -> FloatArray:
        assert self.image_encoder is not None
        embeds = self.image_encoder.encode(pixels)
        require_finite(embeds, "the image encoder", self.image_encoder.dtype)
        return embeds

    def _embeds(self, prompt: ImagePrompt, guided: bool) -> FloatArray:
        """Return the embedding of the pictures; with guidance the unconditional one comes first."""
        if prompt.embeds is not None:
            return prompt.embeds if guided else prompt.embeds[-1:]
        # One picture at a time: one program serves any number of them.
        rows = [
            np.float32(weight) * self._clip_embeds(pixels)
            for pixels, weight in zip(prompt.pixels, prompt.weights, strict=True)
        ]
        mixed: FloatArray = np.sum(rows, axis=0, dtype=np.float32)
        return np.concatenate([self.get_zero_embed(), mixed]) if guided else mixed

    def _conditioning(self, request: DecoderRequest) -> dict[str, Array]:
        """See `DecoderPipeline`; the pictures are the same for all prompts of a call."""
        found = super()._conditioning(request)
        prompt = request.image_prompt
        if prompt is None:
            return found
        embeds = np.repeat(self._embeds(prompt, request.plan.guided), request.count, axis=0)
        weight = np.full(len(embeds), prompt.scale, np.float32)
        return {**found, "image_embeds": embeds, "image_weight": weight}

    def _stand_ins(self) -> dict[str, Any]:
        inputs = super()._stand_ins()
        if self.has_ip_adapter:  # such a pipeline is loaded for pictures
            width = self.unet.config.image_embed_dim
            inputs["ip_adapter_image_embeds"] = np.zeros((2, width), np.float32)
            if self.image_encoder is not None:
                picture = inputs["image"]
                inputs |= {"ip_adapter_image": picture, "ip_adapter_image_embeds": None}
                inputs["img"] = picture  # as the fork's call names it
        return inputs
