"""`kandinsky controlnet`: what it does, which no combined pipeline of diffusers' does."""

from __future__ import annotations

import argparse
from typing import Any, ClassVar

from kandinsky_core.cli.input_pictures import InputPicture
from kandinsky_core.cli.make_pictures import call_halves, load_model, make, quiet
from kandinsky_core.pipelines.combined import CombinedPipeline
from kandinsky_core.pipelines.decoder import DecoderPipeline, first_step
from kandinsky_core.pipelines.kandinsky2_2_controlnet import (
    KandinskyV22ControlnetImg2ImgPipeline,
    KandinskyV22ControlnetPipeline,
)
from kandinsky_core.pipelines.kandinsky2_2_prior_emb2emb import KandinskyV22PriorEmb2EmbPipeline
from kandinsky_core.validation import positive_int

__all__ = ["run"]


class _FromText(CombinedPipeline):
    decoder_class: ClassVar[type[DecoderPipeline]] = KandinskyV22ControlnetPipeline


class _FromImage(CombinedPipeline):
    decoder_class: ClassVar[type[DecoderPipeline]] = KandinskyV22ControlnetImg2ImgPipeline


def run(options: argparse.Namespace) -> None:
    """Make pictures whose layout a hint fixes.

    Raises:
        KandinskyError: See `make`, or a picture or a strength is not usable.
    """
    inputs: dict[str, Any] = {}
    facts: dict[str, Any] = {"prompt": options.prompt}
    if options.image is not None:
        first_step(options.strength, positive_int("--steps", options.steps))
        first_step(options.prior_strength, positive_int("--prior-steps", options.prior_steps))
        image = InputPicture.open("--image", options.image)
        inputs |= {"image": image.picture, "strength": options.strength}
        facts |= {"image": image.record, "prior_strength": options.prior_strength}
    hint = InputPicture.open("--hint", options.hint)
    inputs["hint"], facts["hint"] = hint.picture, hint.record

    def draw(pipeline: Any, seeds: list[int]) -> Any:
        def embed(generators: Any) -> Any:
            shared = {
                "num_images_per_prompt": len(seeds),
                "num_inference_steps": options.prior_steps,
                "guidance_scale": options.prior_guidance_scale,
                "generator": generators,
            }
            if options.image is None:
                prior = pipeline.prior_pipe
                return prior(options.prompt, negative_prompt=options.negative_prompt, **shared)
            return _embed_with_image(options, pipeline, inputs["image"], shared)

        return call_halves(options, pipeline, seeds, embed, inputs)

    make(options, load, draw, facts)


def load(options: argparse.Namespace) -> Any:
    """Load the pipelines that the model options name."""
    kind = _FromText if options.image is None else _FromImage
    return load_model(options, kind)


def _embed_with_image(
    options: argparse.Namespace, pipeline: Any, image: Any, shared: dict[str, Any]
) -> dict[str, Any]:
    """Run the prior from the picture's own embedding.

    As in the model card a negative prompt has a run of its own, at a strength of 1.
    """
    prior: Any = KandinskyV22PriorEmb2EmbPipeline(**pipeline.prior_pipe.components)
    prior.set_progress_bar_config(disable=quiet(options))
    found = prior(options.prompt, image=image, strength=options.prior_strength, **shared)
    embeds = dict(found)
    if options.negative_prompt is not None:
        negative = prior(options.negative_prompt, image=image, strength=1.0, **shared)
        embeds["negative_image_embeds"] = negative["image_embeds"]
    return embeds
