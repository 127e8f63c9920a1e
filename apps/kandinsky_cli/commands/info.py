"""The command `kandinsky info`, which shows how a picture was made or what a model holds."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.picture_options import PROGRAM
from kandinsky_core.terminal import shell_word

if TYPE_CHECKING:
    from kandinsky_core.checkpoints.checkpoint import Component

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "info",
        help="show how a picture was made, or what a model holds",
        description="Show how a picture was made and the command that makes it again, or what a "
        "model consists of. With --dtype, --backend or --device also show how much of a device's "
        "memory its networks would take; none is loaded.",
    )
    parser.add_argument(
        "subject", metavar="IMAGE-or-MODEL", help="a picture, a model folder, `shapes`, a hub id"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument(
        "--dtype", help="dtype that the networks would compute in (default: float32)"
    )
    parser.add_argument(
        "--backend",
        help="backend whose device is compared: jax or mindspore (default: the one installed)",
    )
    parser.add_argument(
        "--device", help="device to compare with: cpu, gpu:1 (default: the backend's choice)"
    )
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use cached files, never the network"
    )


_COUNTS = ("tensors", "parameters", "bytes")


_OPTIONS = {
    "model": "--model",
    "prior": "--prior",
    "revision": "--revision",
    "prior_revision": "--prior-revision",
    "variant": "--variant",
    "image": "--image",
    "mask_image": "--mask",
    "hint": "--hint",
    "strength": "--strength",
    "prior_strength": "--prior-strength",
    "paste_back": "--paste-back",
    "flash": "--flash",
    "text_encoder_loading": "--text-encoder-loading",
    "movq_tile_size": "--movq-tile-size",
    "weights": "--weights",
    "negative_prompt": "--negative-prompt",
    "seed": "--seed",
    "height": "--height",
    "width": "--width",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance-scale",
    "lora": "--lora",
    "scheduler_name": "--scheduler",
    "prior_num_inference_steps": "--prior-steps",
    "prior_guidance_scale": "--prior-guidance-scale",
    "backend": "--backend",
    "dtype": "--dtype",
}


def run(options: argparse.Namespace) -> None:
    """Print what is known about a picture or a model.

    Raises:
        KandinskyError: The subject is neither, or it is damaged.
    """
    from kandinsky_core.pictures.metadata import read_metadata

    if Path(options.subject).is_file():
        data = read_metadata(Path(options.subject))
        data["command"] = command_for(data)
        warnings = list(_warnings(data))
        if warnings:
            data["warnings"] = warnings
    else:
        data = describe_model(options)
    if options.json:
        write_json(data)
        return
    if isinstance(data.get("command"), str):
        # The shell's own escapes stand for what a terminal would obey, so that the line still runs.
        data["command"] = " ".join(map(shell_word, shlex.split(data["command"])))
    for line in _lines(data):
        write_line(line)


def command_for(metadata: Mapping[str, Any]) -> str | None:
    """Return the command that makes a picture again; None for pictures made from Python.

    Python can give a scheduler, noise or a used generator, which no command can repeat. Nor does
    one repeat a call that was interrupted.
    """
    from kandinsky_cli.input_pictures import word_for

    program, _, command = str(metadata.get("program")).partition(" ")
    if program != PROGRAM or "interrupted" in metadata:
        return None
    options: list[str] = []
    for name, flag in _OPTIONS.items():
        options += _words(flag, metadata.get(name))
    subjects = [word_for(item) for item in metadata.get("items", [])] or [metadata["prompt"]]
    dashed = any(subject.startswith("-") for subject in subjects)
    words = [*options, "--", *subjects] if dashed else [*subjects, *options]
    return shlex.join([PROGRAM, command, *words])


def _words(flag: str, value: Any) -> list[str]:
    """Return an option as words of a command line; no words where it was not used."""

    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list):
        # argparse takes -0.00001 for a number, but -1e-05 for an option
        return [flag, *(format(Decimal(repr(number)), "f") for number in value)]
    text = str(value["path"] if isinstance(value, Mapping) else value)
    # A value that begins with a dash would be taken for an option.
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


def _warnings(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each file that a picture was made from and that has changed since."""
    from kandinsky_core.pictures.metadata import file_problem

    for value in (*metadata.values(), *metadata.get("items", ())):
        if isinstance(value, Mapping) and "path" in value:
            problem = file_problem(value)
            if problem is not None:
                yield problem


def describe_model(options: argparse.Namespace) -> dict[str, Any]:
    """Return the contents of a model's parts, as far as they lie on this machine.

    For a model on the hub only the index is fetched, never the weights.
    """
    from kandinsky_cli.model_memory import describe_memory
    from kandinsky_cli.model_parts import open_parts
    from kandinsky_core.checkpoints.hub import HubOptions, connected_prior

    hub = HubOptions.among(vars(options))
    parts = open_parts(options.subject, hub)
    found: dict[str, Any] = {"model": options.subject}
    for checkpoint in parts:
        components = {name: _describe(part) for name, part in checkpoint.components.items()}
        prior = connected_prior(checkpoint.folder)
        named = {"connected_prior": prior} if prior else {}
        found[checkpoint.pipeline_class] = {**named, **components}
    asked = {name: getattr(options, name) for name in ("dtype", "backend", "device")}
    if any(value is not None for value in asked.values()):
        found["memory"] = describe_memory(parts, hub, **asked)
    return found


def _describe(component: Component) -> dict[str, Any]:
    from kandinsky_cli.model_parts import Absent, open_weights
    from kandinsky_core.memory.plan import stored_size

    found: dict[str, Any] = {"class": component.class_name}
    try:
        tensors = open_weights(component)
    except Absent as absent:
        return {**found, "files": str(absent)}
    if tensors is None:
        return found
    specs = [tensors.spec(name) for name in tensors.names()]
    return {
        **found,
        "tensors": len(specs),
        "parameters": sum(math.prod(shape) for shape, _ in specs),
        "dtypes": sorted({dtype for _, dtype in specs}),
        "bytes": stored_size(tensors),
    }


def _lines(data: Mapping[str, Any], indent: str = "") -> list[str]:
    from kandinsky_cli.model_memory import memory_lines

    lines: list[str] = []
    for name, value in data.items():
        if name == "memory":
            lines += memory_lines(value)
        elif isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif value is not None:
            text = ", ".join(map(_text, value)) if isinstance(value, list) else value
            text = f"{text:,}" if name in _COUNTS else text
            lines.append(f"{indent}{name}: {text}")
    return lines


def _text(value: Any) -> str:
    from kandinsky_cli.input_pictures import word_for

    return word_for(value) if isinstance(value, Mapping) else str(value)
