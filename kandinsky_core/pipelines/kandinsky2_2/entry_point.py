"""The object that `get_kandinsky2` of ai-forever's README returns for 2.2, around our pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kandinsky_core.denoising.generator import Generator
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbeddingDecoder
from kandinsky_core.pipelines.kandinsky2_2.image_to_image import KandinskyV22Img2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_2.inpainting import KandinskyV22InpaintPipeline
from kandinsky_core.pipelines.kandinsky2_2.text_to_image import KandinskyV22Pipeline
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.validation import positive_int

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Kandinsky2_2", "PriorCalls", "generator_of"]


class PriorCalls:
    """Base of the objects for 2.1 and 2.2: the prior makes embeddings, a decoder pictures.

    Args:
        pipe: A combined pipeline.

    Attributes:
        pipe: The same, for everything that these calls do not offer.
    """

    decoders: ClassVar[Mapping[str, type[EmbeddingDecoder]]]

    def __init__(self, pipe: CombinedPipeline) -> None:
        self.pipe = pipe

    def _decoder(self, task: str) -> Any:
        """Return the decoder of a task, which shares the networks of the pipeline's own."""
        made, own = self.decoders[task], self.pipe.decoder_pipe
        if made.kind != own.kind:
            wanted = "text2img" if own.kind == "inpaint" else "inpainting"
            raise InvalidInputError(
                f"these weights are for another task: load them with task_type={wanted!r}"
            )
        return made.from_pipe(own)

    def _embeds(
        self,
        made_of: str | Sequence[Any],
        weights: Sequence[float] | None,
        count: int,
        steps: Any,
        scale: float,
        negatives: tuple[str, str],
        generator: Generator,
    ) -> dict[str, Any]:
        """Return the image embeddings of a prompt, or of a mixture, and those to keep out.

        As in the text to image there, an empty negative prompt of the decoder stands for the zero
        image. The original's other tasks take the prior's negative prompt for it.
        """
        prior: Any = self.pipe.prior_pipe
        of_prior, of_decoder = negatives
        options: dict[str, Any] = {
            "num_images_per_prompt": positive_int("batch_size", count),
            "num_inference_steps": _whole("prior_steps", steps),
            "guidance_scale": scale,
            "generator": generator,
        }
        if weights is None:
            found = prior(made_of, negative_prompt=of_prior or None, **options)
        else:
            mixed = {"negative_prior_prompt": of_prior or None, **options}
            found = prior.interpolate(made_of, weights, **mixed)
        if of_decoder:
            without = prior(of_decoder, negative_prompt=of_prior or None, **options).image_embeds
        else:
            without = prior.zero_embeds(count)
        return {"image_embeds": found.image_embeds, "negative_image_embeds": without}


def _whole(name: str, value: Any) -> int:
    """Return a number that the README of 2.1 writes as a text."""
    return positive_int(name, int(value) if isinstance(value, str) and value.isdecimal() else value)


def generator_of(seed: int | None) -> Generator:
    """Return a generator for a call, with a random seed where none is given."""
    generator = Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


class Kandinsky2_2(PriorCalls):
    """Kandinsky 2.2 with the calls of the original's object of this name."""

    decoders: ClassVar[Mapping[str, type[EmbeddingDecoder]]] = {
        "text2img": KandinskyV22Pipeline,
        "img2img": KandinskyV22Img2ImgPipeline,
        "inpainting": KandinskyV22InpaintPipeline,
    }

    def generate_text2img(
        self,
        prompt: str,
        batch_size: int = 1,
        decoder_steps: int = 50,
        prior_steps: int = 25,
        decoder_guidance_scale: float = 4,
        prior_guidance_scale: float = 4,
        h: int = 512,
        w: int = 512,
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Make pictures of a prompt.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        return self._pictures(
            "text2img",
            (prompt, None),
            (batch_size, decoder_steps, prior_steps),
            (decoder_guidance_scale, prior_guidance_scale),
            (h, w),
            (negative_prior_prompt, negative_decoder_prompt),
            seed,
        )

    def generate_img2img(
        self,
        prompt: str,
        image: Image.Image,
        strength: float = 0.4,
        batch_size: int = 1,
        decoder_steps: int = 100,
        prior_steps: int = 25,
        decoder_guidance_scale: float = 4,
        prior_guidance_scale: float = 4,
        h: int = 512,
        w: int = 512,
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Make pictures that begin with a picture; `strength` is the share of noise.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        return self._pictures(
            "img2img",
            (prompt, None),
            (batch_size, decoder_steps, prior_steps),
            (decoder_guidance_scale, prior_guidance_scale),
            (h, w),
            (negative_prior_prompt, negative_decoder_prompt),
            seed,
            image=image,
            strength=strength,
        )

    def mix_images(
        self,
        images_texts: Sequence[Any],
        weights: Sequence[float],
        batch_size: int = 1,
        decoder_steps: int = 50,
        prior_steps: int = 25,
        decoder_guidance_scale: float = 4,
        prior_guidance_scale: float = 4,
        h: int = 512,
        w: int = 512,
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Make pictures of a mixture of texts and pictures.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range.
        """
        return self._pictures(
            "text2img",
            (images_texts, weights),
            (batch_size, decoder_steps, prior_steps),
            (decoder_guidance_scale, prior_guidance_scale),
            (h, w),
            (negative_prior_prompt, negative_decoder_prompt),
            seed,
        )

    def generate_inpainting(
        self,
        prompt: str,
        pil_img: Image.Image,
        img_mask: Any,
        batch_size: int = 1,
        decoder_steps: int = 50,
        prior_steps: int = 25,
        decoder_guidance_scale: float = 4,
        prior_guidance_scale: float = 4,
        h: int = 512,
        w: int = 512,
        negative_prior_prompt: str = "",
        negative_decoder_prompt: str = "",
        *,
        seed: int | None = None,
    ) -> list[Image.Image]:
        """Repaint the part of a picture where the mask is 1, as diffusers' pipeline does.

        Raises:
            InvalidInputError: An argument is of the wrong kind or range, or the weights are those
                for pictures from text.
        """
        return self._pictures(
            "inpainting",
            (prompt, None),
            (batch_size, decoder_steps, prior_steps),
            (decoder_guidance_scale, prior_guidance_scale),
            (h, w),
            (negative_prior_prompt, negative_decoder_prompt),
            seed,
            image=pil_img,
            mask_image=img_mask,
        )

    def _pictures(
        self,
        task: str,
        made_of: tuple[Any, Sequence[float] | None],
        numbers: tuple[int, int, int],
        scales: tuple[float, float],
        size: tuple[int, int],
        negatives: tuple[str, str],
        seed: int | None,
        **inputs: Any,
    ) -> list[Image.Image]:
        decoder, generator = self._decoder(task), generator_of(seed)
        (count, steps, prior_steps), (scale, prior_scale), (height, width) = numbers, scales, size
        embeds = self._embeds(*made_of, count, prior_steps, prior_scale, negatives, generator)
        images: list[Image.Image] = decoder(
            **embeds,
            **inputs,
            height=height,
            width=width,
            num_inference_steps=steps,
            guidance_scale=scale,
            generator=generator,
        ).images
        return images
