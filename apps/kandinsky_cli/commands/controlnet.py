"""The command `kandinsky controlnet`, which makes pictures whose layout a hint fixes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kandinsky_cli.control_options import (
    add_control_options,
    call_third,
    check_control_values,
    is_third,
    load_third,
    refuse_of_third,
)
from kandinsky_cli.image_prompts import add_image_prompt_options
from kandinsky_cli.picture_options import (
    TWO_STAGES,
    add_command,
    add_picture_options,
    add_strength,
)
from kandinsky_cli.prompt_words import add_prompt_options

if TYPE_CHECKING:
    from kandinsky_cli.make_pictures import CheckedWords
    from kandinsky_core.texts.prompts import Prompts

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "controlnet",
        "PROMPT --hint PATH [--image PATH]",
        "make pictures whose layout a hint fixes",
        "Make pictures of a prompt whose layout a hint fixes. The model must be made for it: "
        "`shapes`, whose hint is a white silhouette on black, "
        "kandinsky-community/kandinsky-2-2-controlnet-depth, whose hint is a depth map, or "
        "ai-forever/kandinsky3_controlnet_v2_depth, _v2_scribble and _hed of Kandinsky 3.",
    )
    add_prompt_options(parser)
    parser.add_argument("--hint", required=True, metavar="PATH", help="the hint's path or URL")
    parser.add_argument("--image", metavar="PATH", help="a picture to start from (default: noise)")
    add_strength(parser, 0.5)
    parser.add_argument(
        "--prior-strength",
        type=float,
        default=0.85,
        metavar="X",
        help="how far the prompt leads the prior away from what --image shows (default: 0.85)",
    )
    add_control_options(parser)
    add_image_prompt_options(parser)
    add_picture_options(parser)


def run(options: argparse.Namespace) -> None:
    """Make pictures whose layout a hint fixes.

    Raises:
        KandinskyError: See `make`, or a picture or a number is not usable.
    """
    from kandinsky_cli.image_prompts import ImagePrompts
    from kandinsky_cli.input_pictures import InputPicture
    from kandinsky_cli.make_pictures import call_arguments, call_halves, make
    from kandinsky_core.pipelines.shared.decoder import first_step
    from kandinsky_core.validation import positive_int

    inputs: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    check_control_values(options)
    if options.image is not None:
        for strength, name in (
            (options.strength, "steps"),
            (options.prior_strength, "prior_steps"),
        ):
            given = getattr(options, name)
            flag = f"--{name.replace('_', '-')}"
            first_step(strength, positive_int(flag, TWO_STAGES[name] if given is None else given))
        image = InputPicture.open("--image", options.image)
        inputs |= {"image": image.picture, "strength": options.strength}
        facts |= {"image": image.record, "prior_strength": options.prior_strength}
    if options.mask is not None:
        mask = InputPicture.open_mask("--mask", options.mask)
        inputs["mask_image"], facts["mask_image"] = mask.picture, mask.record
    if options.controlnet is not None:
        facts["controlnet"] = options.controlnet
    images = ImagePrompts.choose(options)
    facts |= images.facts
    hint = InputPicture.open("--hint", options.hint)
    inputs["hint"], facts["hint"] = hint.picture, hint.record

    def draw(pipeline: Any, words: CheckedWords) -> Any:
        if not hasattr(pipeline, "prior_pipe"):
            facts.pop("prior_strength", None)
            arguments = call_arguments(options, words) | images.arguments(pipeline)
            return call_third(options, pipeline, inputs, arguments)

        def embed() -> Any:
            shared = {
                "num_images_per_prompt": words.count,
                "num_inference_steps": options.prior_steps,
                "guidance_scale": options.prior_guidance_scale,
                "generator": words.source,
            }
            if options.image is None:
                return pipeline.prior_pipe(words.prompts, **shared)
            return _embed_with_image(options, pipeline, words.prompts, inputs["image"], shared)

        return call_halves(options, pipeline, words, embed, inputs)

    make(options, load, draw, facts)


def load(options: argparse.Namespace) -> Any:
    """Load the pipelines that the model options name."""
    from kandinsky_cli.make_pictures import load_model
    from kandinsky_core.pipelines.kandinsky2_2.controlnet_halves import (
        ControlnetHalves,
        ControlnetImageHalves,
    )

    if is_third(options):
        return load_third(options)
    refuse_of_third(options)
    for name, value in TWO_STAGES.items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return load_model(options, ControlnetHalves if options.image is None else ControlnetImageHalves)


def _embed_with_image(
    options: argparse.Namespace,
    pipeline: Any,
    prompts: Prompts,
    image: Any,
    shared: dict[str, Any],
) -> dict[str, Any]:
    """Run the prior from the picture's own embedding.

    A negative prompt gets a run of its own at a strength of 1, as in the model card.
    """
    from kandinsky_cli.make_pictures import quiet
    from kandinsky_core.pipelines.kandinsky2_2.prior_emb2emb import KandinskyV22PriorEmb2EmbPipeline
    from kandinsky_core.texts.prompts import Prompts

    prior: Any = KandinskyV22PriorEmb2EmbPipeline(**pipeline.prior_pipe.components)
    prior.set_progress_bar_config(disable=quiet(options))
    texts = Prompts(prompts.texts)
    embeds = dict(prior(texts, image=image, strength=options.prior_strength, **shared))
    if prompts.negatives is not None:
        negative = prior(Prompts(prompts.negatives), image=image, strength=1.0, **shared)
        embeds["negative_image_embeds"] = negative["image_embeds"]
    return embeds
