"""Pictures beside the prompt of Kandinsky 2, by the names that diffusers has for IP-Adapters.

Kandinsky 2 has no IP-Adapter and needs none: its decoder reads image embeddings, which the prior
makes of texts and CLIP of pictures. So both are mixed, as `interpolate` of the prior does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.shared.image_prompt import ImagePrompt, pictures_of, weights_of
from kandinsky_core.pipelines.shared.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.validation import real_number

__all__ = ["MixesPictures"]

_SCALE = 0.5  # text and pictures count alike


class MixesPictures:
    """Base of the pipelines that have prior and decoder: mixes pictures into what the prior made.

    With a scale s the embedding is (1 - s) of the text and s of the weighted pictures.
    """

    prior_pipe: Any
    _ip_adapter_scale: float = _SCALE

    def load_ip_adapter(self, *_: Any, **__: Any) -> None:
        """Refuse: Kandinsky 2 mixes pictures and texts without an adapter.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError(
            f"load_ip_adapter: a {type(self).__name__} needs no IP-Adapter; leave it out and give "
            "ip_adapter_image, which is mixed with the prompt"
        )

    def set_ip_adapter_scale(self, scale: Any) -> None:
        """Set how much `ip_adapter_image` counts in the calls that follow.

        Args:
            scale: s, commonly from 0 to 1. At 0 the text alone counts, at 1 the pictures alone, and
                at 0.5 (default) both alike.

        Raises:
            InvalidInputError: `scale` is no finite number.
        """
        only = scale[0] if isinstance(scale, (list, tuple)) and len(scale) == 1 else scale
        self._ip_adapter_scale = real_number("scale", only)

    def check_image_prompt(self, image: Any, weights: Any) -> ImagePrompt | None:
        """Check the pictures of a call; None where there are none.

        Args:
            image: See `ip_adapter_image` of a call.
            weights: See `ip_adapter_weights` of a call.

        Raises:
            InvalidInputError: An item is no picture, or there are more or fewer weights.
        """
        if image is None:
            if weights is not None:
                raise InvalidInputError("ip_adapter_weights: give ip_adapter_image too")
            return None
        rows = [
            row[None]
            for item in pictures_of("ip_adapter_image", image)
            for row in self.prior_pipe._pixels("ip_adapter_image", item)
        ]
        return ImagePrompt(
            pixels=tuple(rows),
            weights=weights_of(weights, len(rows)),
            scale=self._ip_adapter_scale,
        )

    def _mixed(
        self, embeds: KandinskyPriorPipelineOutput, prompt: ImagePrompt | None
    ) -> KandinskyPriorPipelineOutput:
        """Mix pictures into the embeddings that the prior made; the unconditional ones stay."""
        if prompt is None:
            return embeds
        rows = [
            np.float32(prompt.scale * weight) * self.prior_pipe._encode_pixels(pixels)
            for pixels, weight in zip(prompt.pixels, prompt.weights, strict=True)
        ]
        of_text = np.float32(1 - prompt.scale) * embeds.image_embeds
        mixed: FloatArray = of_text + np.sum(rows, axis=0, dtype=np.float32)
        return replace(embeds, image_embeds=mixed)
