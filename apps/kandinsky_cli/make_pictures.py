"""Makes picture files from a command's options, for all commands that make pictures."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.lora_option import load_loras, lora_words, require_loras
from kandinsky_cli.output_paths import choose_paths
from kandinsky_cli.picture_options import PROGRAM
from kandinsky_cli.steps_options import check_prior_steps, check_steps
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.noise import (
    SeededGenerators,
    as_generators,
    require_room_for_generators,
)
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.on_demand_encoder import LOADINGS
from kandinsky_core.pictures.metadata import save_image
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbedsToCome
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.schedulers import scheduler_by_name
from kandinsky_core.seam.dtypes import dtype_name
from kandinsky_core.seam.networks import Tiling
from kandinsky_core.seam.registry import chosen_backend
from kandinsky_core.texts.prompts import Prompts
from kandinsky_core.validation import one_of, positive_int, real_number

__all__ = [
    "CheckedWords",
    "call_arguments",
    "call_halves",
    "check_tile_size",
    "load_model",
    "make",
    "quiet",
]

# A function that runs the prior; its generators run on in the decoder.
Embed = Callable[[], Mapping[str, Any]]

_CELL = 8  # pixels along a side of a latent cell, in published models


@dataclass(frozen=True, slots=True)
class CheckedWords:
    """The prompts and generators of a command, checked once before a model is loaded.

    A call takes them in this form and does not check them again.

    Attributes:
        prompts: The prompt and the negative prompt; an empty one where a task has none.
        source: A generator for each picture. A command that runs two halves hands it to both.
    """

    prompts: Prompts
    source: SeededGenerators

    @classmethod
    def check(cls, options: argparse.Namespace, seeds: Sequence[int]) -> Self:
        """Refuse prompts, seeds, numbers and names that no model takes.

        Raises:
            InvalidInputError: One of these is of the wrong kind or range.
        """
        prompt = getattr(options, "prompt", "")
        prompts = Prompts.check(prompt, options.negative_prompt, name="PROMPT")
        source = as_generators(None, seeds, len(seeds))
        _check_numbers_and_names(options)
        return cls(prompts, source)

    @property
    def count(self) -> int:
        """Number of pictures to make."""
        return len(self.source.seeds)


def make(
    options: argparse.Namespace,
    load: Callable[[argparse.Namespace], Any],
    draw: Callable[[Any, CheckedWords], ImagePipelineOutput],
    facts: Mapping[str, Any],
) -> None:
    """Make the pictures, write them, and print where they are.

    Args:
        options: The command's options.
        load: Loads a pipeline; for Kandinsky 2 it has a `prior_pipe` and a `decoder_pipe`.
        draw: Makes pictures with that pipeline, one for each generator.
        facts: Entries to add to the pipeline's metadata; they replace entries of the same name.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained` and the pipeline's call.
    """
    seeds = choose_seeds(options.seed, options.num_images)
    words = CheckedWords.check(options, seeds)
    loras = lora_words(options.lora)
    require_loras(loras)
    paths = choose_paths(options.output, words.source.seeds, overwrite=options.overwrite)
    start = time.perf_counter()
    pipeline = load(options)
    pipeline.set_progress_bar_config(disable=quiet(options))
    load_loras(pipeline, loras)
    if options.scheduler is not None:
        pipeline.scheduler = scheduler_by_name(options.scheduler, pipeline.scheduler.config)
        facts = {**facts, "scheduler_name": options.scheduler}
    if options.text_encoder_loading is not None:
        facts = {**facts, "text_encoder_loading": options.text_encoder_loading}
    loaded = time.perf_counter()
    output = draw(pipeline, words)
    done = time.perf_counter()
    program = f"{PROGRAM} {options.command}"
    written = []
    for image, found, path in zip(output.images, output.metadata, paths, strict=True):
        metadata = {"program": program, **found, **facts}
        save_image(image, path, metadata)
        written.append({"path": str(path), **metadata})
    seconds = {"load": round(loaded - start, 3), "generate": round(done - loaded, 3)}
    _print(options.json, written, seconds)


def load_model(options: argparse.Namespace, pipeline: Any) -> Any:
    """Load the model that the options name, into a pipeline class or an `AutoPipelineFor...`.

    Raises:
        InvalidInputError: There are options for a prior, but the model has no prior; or its
            schedulers do not allow so many steps.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    names = ("prior", "prior_revision", "backend", "device", "dtype", "revision", "variant")
    loading = ("mesh", "local_files_only", "text_encoder_loading", "offload")
    given = _given(options, *names, *loading)
    given["backend"] = chosen_backend(options.backend, given.pop("mesh", None), options.device)
    part = getattr(pipeline, "decoder_class", pipeline).part
    model = OpenedModel.of(options.model, part, HubOptions.among(given))
    if hasattr(pipeline, "pipeline_class"):
        pipeline = pipeline.pipeline_class(model)
    if not issubclass(pipeline, CombinedPipeline):
        wrong = _given(options, "prior", "prior_revision", "prior_steps", "prior_guidance_scale")
        if wrong:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise InvalidInputError(f"{flags}: {options.model} has no prior, leave them out")
    else:
        check_prior_steps(options, model, part)
    check_steps(options, model)
    loaded = pipeline.from_pretrained(model, **given)
    if options.movq_tile_size is not None:
        loaded.movq.enable_tiling(options.movq_tile_size)
    return loaded


def call_arguments(options: argparse.Namespace, words: CheckedWords) -> dict[str, Any]:
    """Return the keyword arguments for a pipeline's call; options not given keep its defaults."""
    given = {
        "prompt": words.prompts,
        "num_images_per_prompt": words.count,
        "generator": words.source,
        "height": options.height,
        "width": options.width,
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance_scale,
        "prior_num_inference_steps": options.prior_steps,
        "prior_guidance_scale": options.prior_guidance_scale,
    }
    return {name: value for name, value in given.items() if value is not None}


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def call_halves(
    options: argparse.Namespace,
    pipeline: Any,
    words: CheckedWords,
    embed: Embed,
    inputs: Mapping[str, Any],
) -> ImagePipelineOutput:
    """Run prior and decoder for a task that no combined pipeline does.

    Args:
        options: The command's options.
        pipeline: A pipeline with a `decoder_pipe`.
        words: Prompts and generators.
        embed: Runs the prior.
        inputs: Further arguments for the decoder.

    Raises:
        KandinskyError: See the calls of the prior and of the decoder.
    """
    decoder = pipeline.decoder_pipe
    # A request that the decoder would refuse is refused before the prior runs.
    request = decoder.prepare(
        **inputs,
        image_embeds=EmbedsToCome(words.count),
        height=options.height,
        width=options.width,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance_scale,
        generator=words.source,
    )
    output = decoder.run(decoder.with_embeds(request, **embed()))
    facts = {
        "negative_prompt": options.negative_prompt,
        "prior_num_inference_steps": options.prior_steps,
        "prior_guidance_scale": options.prior_guidance_scale,
    }
    return ImagePipelineOutput(output.images, [{**found, **facts} for found in output.metadata])


def quiet(options: argparse.Namespace) -> bool:
    """Return whether progress bars are switched off, as they would disturb the output."""
    return options.json or not sys.stderr.isatty()


def choose_seeds(seeds: Sequence[int] | None, count: int | None) -> list[int]:
    """Return one seed for each picture, so that each can be made again alone.

    A single seed for several pictures stands for consecutive ones.

    Raises:
        InvalidInputError: The numbers of seeds and of pictures contradict each other.
        DeviceMemoryError: There are more pictures than this machine can hold generators.
    """
    if count is not None:
        require_room_for_generators(positive_int("--num-images", count))
    if seeds is None:
        seeds = [secrets.randbits(31)]
    if len(seeds) == 1:
        return [seeds[0] + index for index in range(count or 1)]
    if count is not None and count != len(seeds):
        raise InvalidInputError(
            f"--seed has {len(seeds)} seeds for --num-images {count}: "
            "give one for each picture, or a single one"
        )
    return list(seeds)


def _check_numbers_and_names(options: argparse.Namespace) -> None:
    """Refuse numbers and names that no model takes."""
    for name in ("height", "width", "steps", "prior_steps"):
        if getattr(options, name) is not None:
            positive_int(f"--{name.replace('_', '-')}", getattr(options, name))
    for name in ("guidance_scale", "prior_guidance_scale"):
        if getattr(options, name) is not None:
            real_number(f"--{name.replace('_', '-')}", getattr(options, name))
    check_tile_size(options)
    if options.text_encoder_loading is not None:
        one_of("--text-encoder-loading", options.text_encoder_loading, LOADINGS)
    if options.scheduler is not None:
        scheduler_by_name(options.scheduler, {})
    dtype_name(options.dtype)


def check_tile_size(options: argparse.Namespace) -> None:
    """Refuse a tile size that no published MoVQ could take.

    Raises:
        InvalidInputError: The size is no whole number of latent cells, which have 8 pixels a side,
            or has too few of them.
    """
    size = options.movq_tile_size
    if size is not None:
        Tiling.check_size("--movq-tile-size", size, _CELL)


def _print(as_json: bool, written: list[dict[str, Any]], seconds: dict[str, float]) -> None:
    if as_json:
        write_json({"images": written, "seconds": seconds})
        return
    for picture in written:
        write_line(
            f"{picture['path']}  seed {picture['seed']}, {picture['width']}x{picture['height']}, "
            f"{picture['backend']} on {picture['device']}, {seconds['generate']:.1f} s"
        )
