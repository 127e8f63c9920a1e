"""Makes picture files from a command's options, for all commands that make pictures."""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.image_prompts import require_ip_adapter
from kandinsky_cli.lora_option import load_loras, lora_words, require_loras
from kandinsky_cli.loudness import LOGGER
from kandinsky_cli.output_paths import OutputPaths
from kandinsky_cli.picture_options import PROGRAM
from kandinsky_cli.previews import Previews
from kandinsky_cli.prompt_words import prompts_of
from kandinsky_cli.size_options import check_size
from kandinsky_cli.steps_options import check_prior_steps, check_steps
from kandinsky_cli.upscaling import Upscaling
from kandinsky_core.checkpoints.hub import HubOptions
from kandinsky_core.checkpoints.opened_model import OpenedModel
from kandinsky_core.denoising.noise import (
    SeededGenerators,
    as_generators,
    require_room_for_generators,
)
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.memory.on_demand_encoder import LOADINGS
from kandinsky_core.pictures.formats import check_quality
from kandinsky_core.pictures.metadata import check_storable, save_image
from kandinsky_core.pipelines.kandinsky2_2.decoder import EmbedsToCome
from kandinsky_core.pipelines.kandinsky2_2.two_halves import CombinedPipeline
from kandinsky_core.pipelines.kandinsky3.control import ControlDecoder
from kandinsky_core.pipelines.shared.outputs import ImagePipelineOutput
from kandinsky_core.schedulers import scheduler_by_name
from kandinsky_core.seam.dtypes import dtype_name
from kandinsky_core.seam.networks import Tiling
from kandinsky_core.seam.quantization import quantization_name
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
_OTHERS = 4096  # characters of metadata beside the texts, and more than that

logger = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class CheckedWords:
    """One prompt of a command with its generators, checked once before a model is loaded.

    A call takes them in this form and does not check them again.

    Attributes:
        prompts: The prompt and the negative prompt; an empty one where a task has none.
        source: A generator for each picture. A command that runs two halves hands it to both.
        watch: Arguments by which the decoder's call shows its steps.
    """

    prompts: Prompts
    source: SeededGenerators
    watch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of pictures to make."""
        return len(self.source.seeds)

    @property
    def prompt(self) -> str:
        """The prompt as it was given."""
        return self.prompts.texts[0]


def make(
    options: argparse.Namespace,
    load: Callable[[argparse.Namespace], Any],
    draw: Callable[[Any, CheckedWords], ImagePipelineOutput],
    facts: Mapping[str, Any],
) -> None:
    """Make the pictures of each prompt, write them, and print where they are.

    Args:
        options: The command's options.
        load: Loads a pipeline; for Kandinsky 2 it has a `prior_pipe` and a `decoder_pipe`.
        draw: Makes pictures of one prompt with that pipeline, one for each generator.
        facts: Entries to add to the pipeline's metadata; they replace entries of the same name.

    Raises:
        KandinskyError: See `DiffusionPipeline.from_pretrained` and the pipeline's call.
    """
    seeds = choose_seeds(options.seed, options.num_images)
    has_prompt = hasattr(options, "prompt")
    texts = prompts_of(options) if has_prompt else [""]
    prompts = [Prompts.check(text, options.negative_prompt, name="PROMPT") for text in texts]
    source = as_generators(None, seeds, len(seeds))
    seeds = list(source.seeds)
    _check_numbers_and_names(options)
    loras = lora_words(options.lora)
    if loras and options.quantize is not None:
        raise InvalidInputError(
            f"--lora beside --quantize {options.quantize}: a LoRA is added to weights in the "
            "dtype: leave one of the two out"
        )
    require_loras(loras)
    paths = OutputPaths.choose(options.output, seeds, len(prompts), overwrite=options.overwrite)
    _check_format(options, paths, texts, facts)
    previews = Previews.choose(options, paths)
    upscaling = Upscaling.choose(options)
    start = time.perf_counter()
    pipeline = load(options)
    pipeline.set_progress_bar_config(disable=quiet(options))
    load_loras(pipeline, loras)
    upscaler = None if upscaling is None else upscaling.load(options, pipeline.backend)
    if options.scheduler is not None:
        pipeline.scheduler = scheduler_by_name(options.scheduler, pipeline.scheduler.config)
        facts = {**facts, "scheduler_name": options.scheduler}
    if options.text_encoder_loading is not None:
        facts = {**facts, "text_encoder_loading": options.text_encoder_loading}
    loaded = time.perf_counter()
    logger.info("loaded %s in %.1f s", options.model, loaded - start)
    written: list[dict[str, Any]] = []
    for index, prompt in enumerate(prompts):
        begun = time.perf_counter()
        if index:  # with fresh generators its pictures are those that it would get alone
            source = as_generators(None, seeds, len(seeds))
        words = CheckedWords(prompt, source, previews.watch)
        output = draw(pipeline, words)
        if upscaling is not None:
            output = upscaling.enlarge(upscaler, output)
        seconds = time.perf_counter() - begun
        own = {**facts, "prompt": words.prompt} if has_prompt else facts
        files = paths.of_prompt(index, seeds)
        made = _save(options, output, files, own)
        if not options.json:
            _print(options, made, seconds)
        written += made
    if options.json:
        spent = {"load": loaded - start, "generate": time.perf_counter() - loaded}
        seconds_of = {name: round(value, 3) for name, value in spent.items()}
        write_json({"images": written, "seconds": seconds_of})


def _save(
    options: argparse.Namespace,
    output: ImagePipelineOutput,
    files: Sequence[Path],
    facts: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Write the pictures of a prompt, and return the metadata of each with its path."""
    program = f"{PROGRAM} {options.command}"
    written = []
    for image, found, path in zip(output.images, output.metadata, files, strict=True):
        metadata = {"program": program, **found, **facts}
        save_image(image, path, metadata, quality=options.quality)
        written.append({"path": str(path), **metadata})
    return written


def load_model(
    options: argparse.Namespace,
    pipeline: Any,
    components: Mapping[str, Any] | None = None,
    *,
    mixes: bool = False,
) -> Any:
    """Load the model that the options name, into a pipeline class or an `AutoPipelineFor...`.

    Args:
        options: The command's options.
        pipeline: The class.
        components: Ready components, which are taken in place of the model's.
        mixes: Whether the command mixes texts and pictures, which only a prior does.

    Raises:
        InvalidInputError: There are options for a prior, or it is to mix, but the model has no
            prior; it needs a hint, which the command does not take; or its schedulers do not allow
            so many steps.
        KandinskyError: See `DiffusionPipeline.from_pretrained`.
    """
    names = ("prior", "prior_revision", "backend", "device", "dtype", "revision", "variant")
    loading = ("mesh", "local_files_only", "text_encoder_loading", "offload", "quantize")
    given = _given(options, *names, *loading)
    given["backend"] = chosen_backend(options.backend, given.pop("mesh", None), options.device)
    part = getattr(pipeline, "decoder_class", pipeline).part
    model = OpenedModel.of(options.model, part, HubOptions.among(given))
    if hasattr(pipeline, "pipeline_class"):
        pipeline = pipeline.pipeline_class(model)
        _require_no_hint(options, pipeline)
    two_halves = issubclass(pipeline, CombinedPipeline)
    require_ip_adapter(options, model, two_halves=two_halves)
    if not two_halves:
        if mixes:
            raise InvalidInputError(f"{options.model} has no prior, which mixes texts and pictures")
        wrong = _given(options, "prior", "prior_revision", "prior_steps", "prior_guidance_scale")
        if wrong:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise InvalidInputError(f"{flags}: {options.model} has no prior, leave them out")
    else:
        check_prior_steps(options, model, part)
    check_steps(options, model)
    check_size(options, model, given["backend"])
    loaded = pipeline.from_pretrained(model, **given, **(components or {}))
    if options.movq_tile_size is not None:
        loaded.movq.enable_tiling(options.movq_tile_size)
    return loaded


def _require_no_hint(options: argparse.Namespace, pipeline: Any) -> None:
    """Refuse a model that needs a hint, for a command that takes none."""
    if issubclass(pipeline, ControlDecoder):
        raise InvalidInputError(
            f"{options.model} is a {pipeline.__name__}, which needs a hint: give it by "
            "`kandinsky controlnet PROMPT --hint PATH`"
        )


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
        **words.watch,
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
        **words.watch,
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
    return options.json or options.quiet or not sys.stderr.isatty()


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
    if options.quantize is not None:
        quantization_name(options.quantize)


def check_tile_size(options: argparse.Namespace) -> None:
    """Refuse a tile size that no published MoVQ could take.

    Raises:
        InvalidInputError: The size is no whole number of latent cells, which have 8 pixels a side,
            or has too few of them.
    """
    size = options.movq_tile_size
    if size is not None:
        Tiling.check_size("--movq-tile-size", size, _CELL)


def _check_format(
    options: argparse.Namespace,
    paths: OutputPaths,
    texts: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Refuse pictures and texts that the format of the output cannot hold."""
    form = paths.form
    check_quality("--quality", options.quality, form)
    form.check_size("--output", options.width or 1, options.height or 1)
    longest = max(texts, key=lambda text: len(json.dumps(text)))  # escapes take room
    known = {"prompt": longest, "negative_prompt": options.negative_prompt, **facts}
    check_storable("--output", form, {**known, "others": "." * _OTHERS})


def _print(
    options: argparse.Namespace, written: Sequence[Mapping[str, Any]], seconds: float
) -> None:
    for picture in written:
        path = picture["path"]
        scale = picture.get("upscale", 1)
        line = (
            f"{path}  seed {picture['seed']}, "
            f"{scale * picture['width']}x{scale * picture['height']}, "
            f"{picture['backend']} on {picture['device']}, {seconds:.1f} s"
        )
        write_line(path if options.quiet else line)
    sys.stdout.flush()
