"""The object that `get_kandinsky2` of ai-forever's README returns for 2.1, around our pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pictures.inputs import as_masks
from kandinsky_core.pipelines.kandinsky2_1.image_to_image import KandinskyImg2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_1.inpainting import KandinskyInpaintPipeline
from kandinsky_core.pipelines.kandinsky2_1.text_to_image import KandinskyPipeline
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.entry_point import PriorCalls, generator_of
from kandinsky_core.schedulers import DDPMScheduler
from kandinsky_core.validation import one_of, real_number

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Kandinsky2_1"]

_OF_2_0 = ("progress", "dynamic_threshold_v", "denoised_type", "ddim_eta")
_SAMPLERS = ("ddim_sampler", "p_sampler")
# The clean sample is clamped to 2, and then to its quantile.
_P_SAMPLER = {
    "variance_type": "learned_range",
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 2.0,
    "timestep_spacing": "linspace",
    "clip_sample": False,
    "steps_offset": 0,
}


class Kandinsky2_1(PriorCalls):
    """Kandinsky 2.1 with the calls of the original's object of this name.

    `ddim_sampler` takes the scheduler of the pipeline; `p_sampler` is DDPM with thresholding and
    the variance that the UNet has learned.
    """

    decoders: ClassVar[Mapping[str, type[EmbeddingDecoder]]] = {
        "text2img": KandinskyPipeline,
        "img2img": KandinskyImg2ImgPipeline,
        "inpainting": KandinskyInpaintPipeline,
    }

    def generate_text2img(
        self,
        prompt: str,
        num_steps: int = 100,
        batch_size: int = 1,
        guidance_scale: float = 7,
        h: int = 512,
        w: int = 512,
        sampler: str = "ddim_sampler",
        prior_cf_scale: float = 4,
        prior_steps: str | int = "25",
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
        **others: Any,
    ) -> list[Image.Image]:
        """Make pictures of a prompt.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        _refuse(others)
        return self._pictures(
            "text2img",
            prompt,
            (prompt, None, batch_size, prior_steps, prior_cf_scale),
            (negative_prior_prompt, negative_decoder_prompt),
            sampler,
            seed,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            height=h,
            width=w,
        )

    def mix_images(
        self,
        images_texts: Sequence[Any],
        weights: Sequence[float],
        num_steps: int = 100,
        batch_size: int = 1,
        guidance_scale: float = 7,
        h: int = 512,
        w: int = 512,
        sampler: str = "ddim_sampler",
        prior_cf_scale: float = 4,
        prior_steps: str | int = "25",
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Make pictures of a mixture of texts and pictures; the decoder reads an empty prompt.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        return self._pictures(
            "text2img",
            "",
            (images_texts, weights, batch_size, prior_steps, prior_cf_scale),
            (negative_prior_prompt, negative_decoder_prompt),
            sampler,
            seed,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            height=h,
            width=w,
        )

    def generate_img2img(
        self,
        prompt: str,
        pil_img: Image.Image,
        strength: float = 0.7,
        num_steps: int = 100,
        batch_size: int = 1,
        guidance_scale: float = 7,
        h: int = 512,
        w: int = 512,
        sampler: str = "ddim_sampler",
        prior_cf_scale: float = 4,
        prior_steps: str | int = "25",
        *,
        seed: int | None = None,
        **others: Any,
    ) -> list[Image.Image]:
        """Make pictures that begin with a picture; `strength` is the share that is kept.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        _refuse(others)
        kept = real_number("strength", strength)
        if not 0 <= kept < 1:
            raise InvalidInputError(f"strength={strength!r}: give a number from 0 up to 1")
        return self._pictures(
            "img2img",
            prompt,
            (prompt, None, batch_size, prior_steps, prior_cf_scale),
            ("", ""),
            sampler,
            seed,
            image=pil_img,
            strength=1 - kept,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            height=h,
            width=w,
        )

    def generate_inpainting(
        self,
        prompt: str,
        pil_img: Image.Image,
        img_mask: Any,
        num_steps: int = 100,
        batch_size: int = 1,
        guidance_scale: float = 7,
        h: int = 512,
        w: int = 512,
        sampler: str = "ddim_sampler",
        prior_cf_scale: float = 4,
        prior_steps: str | int = "25",
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
        **others: Any,
    ) -> list[Image.Image]:
        """Repaint the part of a picture where the mask [H, W] is 0, and keep it where it is 1.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range, or the weights are those
                for pictures from text.
        """
        _refuse(others)
        mask = np.asarray(img_mask)
        if mask.ndim != 2:
            raise InvalidInputError("img_mask: give an array [H, W] of 1 (kept) and 0 (repainted)")
        return self._pictures(
            "inpainting",
            prompt,
            (prompt, None, batch_size, prior_steps, prior_cf_scale),
            (negative_prior_prompt, negative_decoder_prompt),
            sampler,
            seed,
            image=pil_img,
            mask_image=1 - as_masks("img_mask", mask, *mask.shape)[0, 0],
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            height=h,
            width=w,
        )

    def _pictures(
        self,
        task: str,
        prompt: str,
        embedded: tuple[Any, Any, int, Any, float],
        negatives: tuple[str, str],
        sampler: str,
        seed: int | None,
        **request: Any,
    ) -> list[Image.Image]:
        decoder, generator = self._decoder(task), generator_of(seed)
        if one_of("sampler", sampler, _SAMPLERS) == "p_sampler":
            config = decoder.scheduler.config
            decoder.scheduler = DDPMScheduler.from_config(config, **_P_SAMPLER)
        embeds = self._embeds(*embedded, negatives, generator)
        images: list[Image.Image] = decoder(prompt, **embeds, **request, generator=generator).images
        return images


def _refuse(others: Mapping[str, Any]) -> None:
    """Refuse further arguments; those of 2.0 say that its samples lack `model_version`."""
    of_2_0 = [name for name in others if name in _OF_2_0]
    if of_2_0:
        raise InvalidInputError(
            f"{', '.join(of_2_0)}: only Kandinsky 2.0 takes this, and 2.1 is loaded: "
            "get_kandinsky2(..., model_version='2.0') loads 2.0"
        )
    if others:
        raise TypeError(f"Kandinsky 2.1 takes no {', '.join(others)}")
