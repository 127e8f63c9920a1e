"""The same inputs through two backends, compared component by component.

Each component of the one is fed what the same component of the other was fed, so that an error
shows where it arises; the picture at the end shows what all of them add up to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kandinsky_core.arrays import Array, FloatArray
from kandinsky_core.denoising.generator import Generator
from kandinsky_core.schedulers.schedule import make_rows
from kandinsky_core.seam.networks import Denoiser

__all__ = ["TOLERANCES", "Comparison", "compare", "inputs", "outputs"]

# dtype -> relative error of a component, largest difference of a picture in [0, 1]. Half precision
# differs by its own rounding, which the networks multiply.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "float32": (1e-5, 1e-3),
    "bfloat16": (1e-1, 0.5),
    "float16": (2e-2, 0.25),
}
PICTURE = "picture"
_GUIDANCE = 4.0
_TIMESTEP = 500.0
# A row that returns the network's guided output as it is.
_PLAIN = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One component of one backend against the reference.

    Attributes:
        component: `text_encoder` (the prior's), `multilingual` (the text encoder of a decoder that
            reads texts), `prior`, `unet`, ..., or `picture`.
        backend: What was compared.
        reference: With what.
        max_abs: Largest difference.
        relative: L2 norm of the difference over that of the reference.
        psnr: Decibels; of the picture only.
        tolerance: Of `max_abs` for the picture, else of `relative`.
    """

    component: str
    backend: str
    reference: str
    max_abs: float
    relative: float
    psnr: float | None
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference lies within the tolerance; NaN does not."""
        found = self.max_abs if self.component == PICTURE else self.relative
        return bool(found <= self.tolerance)


def inputs(pipeline: Any, prompt: str, height: int, width: int) -> dict[str, tuple[Any, ...]]:
    """Return what each component of a combined pipeline is to be fed, the same on every backend.

    Args:
        pipeline: The reference; prior and UNet get what its text encoders give.
        prompt: The prompt.
        height: Pixels.
        width: Pixels.
    """
    prior, decoder = pipeline.prior_pipe, pipeline.decoder_pipe
    generator = Generator(0)
    texts = [prior.tokenizer([text]) for text in ("", prompt)]
    encoded = [prior.text_encoder.encode(ids) for ids, _ in texts]
    size = prior.image_encoder.config.image_size
    embedding = prior.prior.config.embedding_dim
    latent = decoder.plan(height, width, 1, _GUIDANCE, "latent").latent_shape
    conditioning = {
        "prompt_embeds": np.concatenate([embeds for embeds, _ in encoded]),
        "text_encoder_hidden_states": np.concatenate([hidden for _, hidden in encoded]),
        "text_mask": np.concatenate([mask for _, mask in texts]),
    }
    factor = decoder.movq_scale_factor
    pixels = generator.randn((1, 3, latent[1] * factor, latent[2] * factor)).clip(-1, 1)
    embeds = {"image_embeds": generator.randn((2, decoder.unet.config.image_embed_dim))}
    multilingual: dict[str, tuple[Any, ...]] = {}
    if decoder.reads_text:
        multilingual["multilingual"] = decoder.tokenizer([prompt])
        embeds |= _multilingual_conditioning(decoder, prompt)
    return {
        "text_encoder": (texts[1][0],),
        **multilingual,
        "image_encoder": (generator.randn((1, 3, size, size)),),
        "prior": (generator.randn((1, embedding)), conditioning),
        "unet": (generator.randn((1, *latent)), embeds),
        "movq encode": (pixels,),
        "movq decode": (generator.randn((1, *latent)).clip(-1, 1),),
    }


def _multilingual_conditioning(decoder: Any, prompt: str) -> dict[str, Array]:
    """What a UNet reads beside image embeddings, the unconditional rows first."""
    encoded = [decoder.text_encoder.encode(*decoder.tokenizer([text])) for text in ("", prompt)]
    return {
        "text_embeds": np.concatenate([embeds for embeds, _ in encoded]),
        "text_encoder_hidden_states": np.concatenate([hidden for _, hidden in encoded]),
    }


def outputs(
    pipeline: Any, given: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, tuple[Array, ...]]]:
    """Run each component of a combined pipeline alone; yields its name and what it gives."""
    prior, decoder = pipeline.prior_pipe, pipeline.decoder_pipe
    multilingual = {"multilingual": decoder.text_encoder.encode} if decoder.reads_text else {}
    runs: dict[str, Callable[..., Any]] = {
        "text_encoder": prior.text_encoder.encode,
        **multilingual,
        "image_encoder": prior.image_encoder.encode,
        "prior": lambda *arguments: _one_step(prior.prior, *arguments),
        "unet": lambda *arguments: _one_step(decoder.unet, *arguments),
        "movq encode": decoder.movq.encode,
        "movq decode": decoder.movq.decode,
    }
    for name, run in runs.items():
        result = run(*given[name])
        yield name, result if isinstance(result, tuple) else (result,)


def compare(
    component: str,
    backend: str,
    reference: str,
    got: Sequence[Array],
    expected: Sequence[Array],
    dtype: str,
) -> Comparison:
    """Measure how far results lie from the reference's; of several the worst counts."""
    pairs = [
        (np.asarray(mine, np.float64), np.asarray(theirs, np.float64))
        for mine, theirs in zip(got, expected, strict=True)
    ]
    of_component, of_picture = TOLERANCES[dtype]
    picture = component == PICTURE
    square = float(np.mean([np.mean((mine - theirs) ** 2) for mine, theirs in pairs]))
    return Comparison(
        component=component,
        backend=backend,
        reference=reference,
        max_abs=float(np.max([np.abs(mine - theirs).max() for mine, theirs in pairs])),
        relative=float(
            np.max(
                [np.linalg.norm(mine - theirs) / np.linalg.norm(theirs) for mine, theirs in pairs]
            )
        ),
        psnr=-10 * float(np.log10(max(square, 1e-30))) if picture else None,
        tolerance=of_picture if picture else of_component,
    )


def _one_step(
    denoiser: Denoiser, sample: FloatArray, conditioning: Mapping[str, Array]
) -> FloatArray:
    """Return the guided output of a denoiser at one timestep."""
    run = denoiser.begin(sample, conditioning, _GUIDANCE)
    run.step(_TIMESTEP, _PLAIN, None)
    return run.read()
