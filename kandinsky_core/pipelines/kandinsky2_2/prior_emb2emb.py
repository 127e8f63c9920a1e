"""Kandinsky 2.2, first half, begun from a picture: from prompts and pictures to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.pipelines.kandinsky2_2.prior import KandinskyV22PriorPipeline
from kandinsky_core.pipelines.kandinsky2_2.prior_request import PriorRequest
from kandinsky_core.pipelines.shared.call_options import CallOptions
from kandinsky_core.pipelines.shared.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.pipelines.shared.prepared_call import prepared_call
from kandinsky_core.pipelines.shared.rows import one_for_each, require_even_shares
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import as_batch, real_number

__all__ = ["KandinskyV22PriorEmb2EmbPipeline"]


class KandinskyV22PriorEmb2EmbPipeline(KandinskyV22PriorPipeline):
    """Prior that starts from a picture's embedding; a low `strength` keeps the result near it.

    Source: diffusers' pipeline of the same name. As there, the embedding is noised as it is, though
    the prior works on normalised ones. `interpolate` differs: texts work, and the unconditional
    embedding is that of the all-zero image (there a text is an error, and the embedding noise).
    """

    def prepare(  # type: ignore[override]
        self,
        prompt: str | Sequence[str] | Prompts,
        image: Any,
        strength: float = 0.3,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int = 25,
        generator: Any = None,
        guidance_scale: float = 4.0,
        output_type: str = "np",
        return_dict: bool = True,
        *,
        seed: int | Sequence[int] | None = None,
    ) -> PriorRequest:
        """Check a request for image embeddings that begin with a picture.

        Arguments and errors of all calls: `kandinsky_core.pipelines.shared.call_arguments`.

        Args:
            image: The picture to start from: a PIL picture or an array, a list of P, CLIP's pixels
                [N, 3, S, S], or embeddings [N, D].
            negative_prompt: As for `KandinskyV22PriorPipeline`.
            output_type: `np` for NumPy arrays, or `pt` for PyTorch tensors.

        Returns:
            The request. `run` turns it into `image_embeds` and `negative_image_embeds`, float32
            [B, D].
        """
        request = self._request(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            num_inference_steps,
            guidance_scale,
            output_type,
            generator,
            seed,
            CallOptions(return_dict=return_dict),
            strength=real_number("strength", strength),
        )
        picture = self._embedding_of(image)
        require_even_shares("image", picture, request.count)
        return replace(request, picture=picture)

    __call__ = prepared_call(prepare)  # type: ignore[assignment]

    def _sample(self, request: PriorRequest) -> FloatArray:
        if request.picture is None:  # `interpolate` begins with noise
            return super()._sample(request)
        picture = request.picture
        embeds = picture if picture.ndim == 2 else self._encode_pixels(picture)
        start = np.tile(one_for_each(embeds, request.count), (request.groups, 1))
        return request.schedule.noised(start, request.draw())

    def _embedding_of(self, image: Any) -> FloatArray:
        """Check the picture: CLIP's pixels [N, 3, S, S], or embeddings [N, D] as they are."""
        items = image if isinstance(image, (list, tuple)) else [image]
        if items and all(_is_embedding(item) for item in items):
            size = self.prior.config.embedding_dim
            return as_batch("image (as embeddings)", items, (None, size))
        if not items:
            return as_batch("image", None, (None,))
        return np.concatenate([self._pixels("image", item) for item in items])

    def _negative_of_mix(
        self,
        negative_prompt: str,
        run: Callable[[str | Prompts], KandinskyPriorPipelineOutput],
        count: int,
    ) -> FloatArray:
        return run(negative_prompt).image_embeds if negative_prompt else self.zero_embeds(count)


def _is_embedding(item: Any) -> bool:
    # a matrix of integers is a grey picture
    return getattr(item, "ndim", 0) == 2 and "float" in str(item.dtype)
