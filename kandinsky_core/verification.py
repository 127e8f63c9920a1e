"""Compares two backends component by component, with the same inputs; `kandinsky verify` uses it.

A component of one backend gets the same inputs as the component of the other, so that an error
shows where it arises. The picture at the end shows what all errors add up to.
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

# dtype -> relative error of a component, largest difference of a picture in [0, 1]. In half
# precision each value is rounded, and the networks multiply the error.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "float32": (1e-5, 1e-3),
    "bfloat16": (1e-1, 0.5),
    "float16": (2e-2, 0.25),
}
PICTURE = "picture"
_GUIDANCE = 4.0
_TIMESTEP = 500.0
# A row with which a step returns the network's guided output as it is.
_PLAIN = make_rows(1, x0_from_output=1, x0_clip=np.inf, mean_from_x0=1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far one component of one backend lies from the reference.

    Attributes:
        component: `text_encoder` (the prior's), `multilingual` (the text encoder of a decoder that
            reads texts), `prior`, `unet`, ..., or `picture`.
        backend: Name of the backend that was compared.
        reference: Name of the reference.
        max_abs: Largest absolute difference.
        relative: L2 norm of the difference, divided by the L2 norm of the reference.
        psnr: Peak signal-to-noise ratio in decibels; None for all but the picture.
        tolerance: Largest `max_abs` that passes for the picture, largest `relative` for the others.
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
    """Return the inputs for each component of a combined pipeline, the same on every backend.

    Args:
        pipeline: The reference; prior and UNet get the outputs of its text encoders.
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
    """Return the texts that a UNet reads beside image embeddings, unconditional rows first."""
    encoded = [decoder.text_encoder.encode(*decoder.tokenizer([text])) for text in ("", prompt)]
    return {
        "text_embeds": np.concatenate([embeds for embeds, _ in encoded]),
        "text_encoder_hidden_states": np.concatenate([hidden for _, hidden in encoded]),
    }


def outputs(
    pipeline: Any, given: Mapping[str, tuple[Any, ...]]
) -> Iterator[tuple[str, tuple[Array, ...]]]:
    """Run each component of a combined pipeline alone; yield its name and its outputs."""
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
    """Measure how far outputs lie from the reference's; the worst of several outputs counts."""
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
