"""`kandinsky warmup`: what it does."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from kandinsky_core.backend import chosen_backend
from kandinsky_core.cli.make_pictures import check_tile_size
from kandinsky_core.cli.warmup import TASKS
from kandinsky_core.compilations import Compilation
from kandinsky_core.compilations import logger as compilations_logger
from kandinsky_core.compile_only import compile_only
from kandinsky_core.dtypes import dtype_name
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.interfaces import Backend
from kandinsky_core.on_demand_encoder import LOADINGS
from kandinsky_core.pipelines.kandinsky2_2_controlnet import KandinskyV22ControlnetImg2ImgPipeline
from kandinsky_core.pipelines.kandinsky2_2_prior_emb2emb import KandinskyV22PriorEmb2EmbPipeline
from kandinsky_core.schedulers import scheduler_by_name
from kandinsky_core.validation import one_of, positive_int

__all__ = ["run"]

_FLAGS = {None: None, "on": True, "off": False, "both": (True, False)}


def run(options: argparse.Namespace) -> None:
    """Compile, and print what and where it is kept.

    Raises:
        KandinskyError: The model or an option is not usable, or nothing would be kept.
    """
    _check(options)
    backend = chosen_backend(options.backend, options.mesh, options.device)
    folder = _cache_folder(backend)
    options.backend, options.mesh = backend, None
    load = import_module(f"kandinsky_core.cli.run_{options.task}").load
    with compile_only():
        pipeline = load(options)
    if options.scheduler is not None:
        decoder = getattr(pipeline, "decoder_pipe", pipeline)
        decoder.scheduler = scheduler_by_name(options.scheduler, decoder.scheduler.config)
    with nullcontext() if options.json else _printed():
        made = [entry for entries in _compile(options, pipeline) for entry in entries]
    if options.json:
        found = {"programs": [asdict(entry) for entry in made], "cache": str(folder)}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    seconds = sum(entry.seconds for entry in made)
    sys.stdout.write(f"{len(made)} programs in {seconds:.1f} s, kept in {folder}\n")


def _check(options: argparse.Namespace) -> None:
    """Refuse what would be refused later, before anything is loaded."""
    one_of("--task", options.task, TASKS)
    for name in ("height", "width", "num_images"):
        for value in getattr(options, name) or ():
            positive_int(f"--{name.replace('_', '-')}", value)
    check_tile_size(options)
    if options.flash and options.task != "generate":
        raise InvalidInputError(f"--flash: there is none of --task {options.task}")
    if options.text_encoder_loading is not None:
        one_of("--text-encoder-loading", options.text_encoder_loading, LOADINGS)
    if options.scheduler is not None:
        scheduler_by_name(options.scheduler, {})
    dtype_name(options.dtype)


def _cache_folder(backend: Backend) -> Path:
    if backend.cache_folder is None:
        raise InvalidInputError(
            f"the {backend.name} backend keeps no compiled programs between commands: "
            "there is nothing to warm up"
            + (", as KANDINSKY_COMPILATION_CACHE is empty" if backend.name == "jax" else "")
        )
    return backend.cache_folder


def _compile(options: argparse.Namespace, pipeline: Any) -> Iterator[list[Compilation]]:
    """Compile for the pipelines that the command runs."""
    size = {"heights": options.height, "widths": options.width}
    count = {"batch_sizes": options.num_images}
    guidance = _FLAGS[options.guidance]
    of_prior = _FLAGS[options.prior_guidance]
    if options.task not in ("interpolate", "controlnet"):
        yield pipeline.compile(**size, **count, guidance=guidance, prior_guidance=of_prior)
        return
    # The tasks that no combined pipeline does.
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
    """Print each compilation when it is done: at full size one takes minutes."""
    before = compilations_logger.level
    handler = logging.StreamHandler(sys.stdout)
    compilations_logger.addHandler(handler)
    compilations_logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        compilations_logger.setLevel(before)
        compilations_logger.removeHandler(handler)
