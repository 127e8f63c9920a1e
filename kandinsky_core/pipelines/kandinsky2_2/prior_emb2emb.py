"""Kandinsky 2.2, first half, begun from a picture: from prompts and pictures to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kandinsky_core.arrays import FloatArray
from kandinsky_core.pipelines.kandinsky2_2.prior import KandinskyV22PriorPipeline
from kandinsky_core.pipelines.shared.decoder import first_step, one_for_each
from kandinsky_core.pipelines.shared.outputs import KandinskyPriorPipelineOutput
from kandinsky_core.validation import as_batch, positive_int

__all__ = ["KandinskyV22PriorEmb2EmbPipeline"]


class KandinskyV22PriorEmb2EmbPipeline(KandinskyV22PriorPipeline):
    """Prior that starts from the embedding of a picture: near it at a low `strength`.

    Source: diffusers' pipeline of the same name. As there the embedding is noised as it is, though
    the prior works on normalised ones. `interpolate` differs: texts work, and the unconditional
    embedding is that of the all-zero image (there a text is an error, and the embedding noise).
    """

    def __call__(  # type: ignore[override]
        self,
        prompt: str | Sequence[str],
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
    ) -> KandinskyPriorPipelineOutput | tuple[FloatArray, FloatArray]:
        """Make image embeddings.

        Args:
            prompt: One prompt or a list of P.
            image: Where to start from: a PIL picture or an array of pixels, a list of P, CLIP's
                pixels [N, 3, S, S], or embeddings [N, D].
            strength: Share of the steps that are taken, above 0 and up to 1.
            negative_prompt: As for `KandinskyV22PriorPipeline`.
            num_images_per_prompt: n; the result has B = P * n rows, those of one prompt together.
            num_inference_steps: Steps of the whole loop.
            generator: `Generator`, int, or a list of B of them, one for each picture.
            guidance_scale: Classifier-free guidance; off at 1 and below.
            output_type: `np`.
            return_dict: False returns a plain tuple.
            seed: Short for fresh generators: an int, or one for each picture.

        Returns:
            `image_embeds` and `negative_image_embeds`, float32 [B, D].

        Raises:
            InvalidInputError: An argument is of the wrong kind, shape or range.
            NonFiniteError: A network gave NaN or infinity.
        """
        steps = positive_int("num_inference_steps", num_inference_steps)
        request = self._request(
            prompt,
            negative_prompt,
            num_images_per_prompt,
            guidance_scale,
            output_type,
            self.scheduler.schedule(steps, first_step(strength, steps)),
            generator,
            seed,
        )
        found = self._embedding_of(image)
        one_for_each("image", found, request.count)  # refused before anything heavy starts
        embeds = found if found.ndim == 2 else self._encode_pixels(found)
        conditioning = self._encode(request)
        start = np.tile(one_for_each("image", embeds, request.count), (request.groups, 1))
        noised = request.schedule.noised(start, request.draw())
        output = self._embed(request, noised, conditioning)
        return output if return_dict else output.to_tuple()

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
        self, negative_prompt: str, run: Callable[[str], KandinskyPriorPipelineOutput], count: int
    ) -> FloatArray:
        return run(negative_prompt).image_embeds if negative_prompt else self.zero_embeds(count)


def _is_embedding(item: Any) -> bool:
    # a matrix of integers is a grey picture
    return getattr(item, "ndim", 0) == 2 and "float" in str(item.dtype)
