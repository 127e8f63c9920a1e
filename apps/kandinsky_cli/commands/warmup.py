"""The command `kandinsky warmup`, which compiles a model before its first picture."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_cli.console import LineHandler, write_json, write_line
from kandinsky_cli.loudness import add_loudness_options
from kandinsky_cli.picture_options import add_model_options
from kandinsky_core.errors import InvalidInputError

if TYPE_CHECKING:
    from kandinsky_core.seam.backend import Backend
    from kandinsky_core.seam.compilations import Compilation

__all__ = ["TASKS", "add_parser", "run"]

TASKS = ("generate", "img2img", "inpaint", "interpolate", "controlnet", "upscale")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "warmup",
        help="compile a model before its first picture",
        description="Compile all programs for pictures of some sizes, in every combination of "
        "them, and keep the programs for later commands. No weight is read and nothing is "
        "computed.",
    )
    parser.add_argument(
        "--task",
        default=TASKS[0],
        metavar="COMMAND",
        help=f"the command to compile for: {', '.join(TASKS)} (default: {TASKS[0]})",
    )
    for name, what in (("height", "heights"), ("width", "widths")):
        parser.add_argument(
            f"--{name}", type=int, nargs="+", metavar="PX", help=f"{what} (default: the model's)"
        )
    parser.add_argument(
        "--num-images",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="how many pictures one command makes (default: 1)",
    )
    for name, whose in (("guidance", "the decoder"), ("prior-guidance", "the prior")):
        parser.add_argument(
            f"--{name}",
            choices=("on", "off", "both"),
            help=f"whether {whose} is guided; a guidance scale of 1 or less turns guidance off "
            "(default: as the command does)",
        )
    parser.add_argument(
        "--flash", action="store_true", help="with --task generate: compile Kandinsky 3.1 Flash"
    )
    parser.add_argument(
        "--scheduler", metavar="NAME", help="the decoder's scheduler, if the command is given one"
    )
    parser.add_argument(
        "--text-encoder-loading",
        metavar="WHEN",
        help="when Kandinsky 3's text encoder is loaded, if the command is given this option",
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_loudness_options(parser)
    # The tasks' `load` reads this option too; a picture to start from makes no difference here.
    parser.set_defaults(image=None)


_FLAGS = {None: None, "on": True, "off": False, "both": (True, False)}


def run(options: argparse.Namespace) -> None:
    """Compile, and print which programs were compiled and where they are kept.

    Raises:
        KandinskyError: The model or an option is not usable, or the backend keeps no programs.
    """
    from kandinsky_core.schedulers import scheduler_by_name
    from kandinsky_core.seam.compile_only import compile_only
    from kandinsky_core.seam.registry import chosen_backend

    _check(options)
    backend = chosen_backend(options.backend, options.mesh, options.device)
    folder = _cache_folder(backend)
    options.backend, options.mesh = backend, None
    load = import_module(f"kandinsky_cli.commands.{options.task}").load
    with compile_only():
        pipeline = load(options)
    if options.scheduler is not None:
        pipeline.scheduler = scheduler_by_name(options.scheduler, pipeline.scheduler.config)
    with nullcontext() if options.json or options.quiet else _printed():
        made = [entry for entries in _compile(options, pipeline) for entry in entries]
    if options.json:
        found = {"programs": [asdict(entry) for entry in made], "cache": str(folder)}
        write_json(found)
        return
    if options.quiet:
        write_line(str(folder))
        return
    seconds = sum(entry.seconds for entry in made)
    write_line(f"{len(made)} programs in {seconds:.1f} s, kept in {folder}")


def _check(options: argparse.Namespace) -> None:
    """Refuse options before anything is loaded that would be refused later."""
    from kandinsky_cli.make_pictures import check_tile_size
    from kandinsky_core.memory.on_demand_encoder import LOADINGS
    from kandinsky_core.schedulers import scheduler_by_name
    from kandinsky_core.seam.dtypes import dtype_name
    from kandinsky_core.seam.quantization import quantization_name
    from kandinsky_core.validation import one_of, positive_int

    one_of("--task", options.task, TASKS)
    for name in ("height", "width", "num_images"):
        for value in getattr(options, name) or ():
            positive_int(f"--{name.replace('_', '-')}", value)
    check_tile_size(options)
    if options.task == "upscale":
        given = options.num_images != [1], options.guidance, options.prior_guidance
        for name, found in zip(("num-images", "guidance", "prior-guidance"), given, strict=True):
            if found:
                raise InvalidInputError(f"--{name}: there is none of --task upscale")
    if options.flash and options.task != "generate":
        raise InvalidInputError(f"--flash: there is none of --task {options.task}")
    if options.text_encoder_loading is not None:
        one_of("--text-encoder-loading", options.text_encoder_loading, LOADINGS)
    if options.scheduler is not None:
        scheduler_by_name(options.scheduler, {})
    dtype_name(options.dtype)
    if options.quantize is not None:
        quantization_name(options.quantize)


def _cache_folder(backend: Backend) -> str | Path:

    if backend.cache_folder is None:
        raise InvalidInputError(
            f"the {backend.name} backend keeps no compiled programs between commands: "
            "there is nothing to warm up"
            + (
                ", as KANDINSKY_COMPILATION_CACHE is empty, or its folder cannot be written"
                if backend.name == "jax"
                else ""
            )
        )
    return backend.cache_folder


def _compile(options: argparse.Namespace, pipeline: Any) -> Iterator[list[Compilation]]:
    """Compile the pipelines that the command runs."""
    from kandinsky_core.pipelines.kandinsky2_2.controlnet import (
        KandinskyV22ControlnetImg2ImgPipeline,
    )
    from kandinsky_core.pipelines.kandinsky2_2.prior_emb2emb import KandinskyV22PriorEmb2EmbPipeline

    size = {"heights": options.height, "widths": options.width}
    if options.task == "upscale":
        yield pipeline.compile(**size)
        return
    count = {"batch_sizes": options.num_images}
    guidance = _FLAGS[options.guidance]
    of_prior = _FLAGS[options.prior_guidance]
    if not hasattr(pipeline, "prior_pipe") or options.task not in ("interpolate", "controlnet"):
        yield pipeline.compile(**size, **count, guidance=guidance, prior_guidance=of_prior)
        return
    # No combined pipeline does these tasks, so each half is compiled alone.
    prior, decoder = pipeline.prior_pipe, pipeline.decoder_pipe
    yield prior.compile(**count, guidance=of_prior)
    yield decoder.compile(**size, **count, guidance=guidance)
    if options.task == "controlnet":  # with --image
        prior = KandinskyV22PriorEmb2EmbPipeline(**prior.components)
        yield prior.compile(**count, guidance=of_prior)
        decoder = KandinskyV22ControlnetImg2ImgPipeline(**decoder.components)
        yield decoder.compile(**size, **count, guidance=guidance)


@contextmanager
def _printed() -> Iterator[None]:
    """Print each compilation as soon as it is done, since one takes minutes at full size."""
    from kandinsky_core.seam.compilations import logger as compilations_logger

    before = compilations_logger.level
    handler = LineHandler()
    compilations_logger.addHandler(handler)
    compilations_logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        compilations_logger.setLevel(before)
        compilations_logger.removeHandler(handler)
