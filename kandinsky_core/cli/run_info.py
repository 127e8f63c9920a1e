"""`kandinsky info`: what it does."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kandinsky_core.checkpoint import Checkpoint, Component
from kandinsky_core.cli.generate import PROGRAM
from kandinsky_core.hub import HubOptions, connected_prior, resolve_model
from kandinsky_core.metadata import read_metadata

__all__ = ["run"]

_OPTIONS = {
    "model": "--model",
    "prior": "--prior",
    "revision": "--revision",
    "prior_revision": "--prior-revision",
    "variant": "--variant",
    "negative_prompt": "--negative-prompt",
    "seed": "--seed",
    "height": "--height",
    "width": "--width",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance-scale",
    "prior_num_inference_steps": "--prior-steps",
    "prior_guidance_scale": "--prior-guidance-scale",
    "backend": "--backend",
    "dtype": "--dtype",
}


def run(options: argparse.Namespace) -> None:
    """Print what is known of a picture or a model.

    Raises:
        KandinskyError: It is neither, or damaged.
    """
    if Path(options.subject).is_file():
        data = read_metadata(Path(options.subject))
        data["command"] = command_for(data)
    else:
        data = describe_model(options)
    if options.json:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(data))


def command_for(metadata: Mapping[str, Any]) -> str | None:
    """Return the command that makes a picture again; None for pictures made from Python.

    Those may come of another scheduler, given noise or a generator at work.
    """
    if metadata.get("program") != PROGRAM:
        return None
    options: list[str] = []
    for name, flag in _OPTIONS.items():
        value = str(metadata.get(name))
        if metadata.get(name) is not None:
            # A value that begins with a dash would be taken for an option.
            options += [f"{flag}={value}"] if value.startswith("-") else [flag, value]
    prompt = metadata["prompt"]
    words = [*options, "--", prompt] if prompt.startswith("-") else [prompt, *options]
    return shlex.join(["kandinsky", "generate", *words])


def describe_model(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a model's halves consist of, as far as they lie on this machine.

    Of a model on the hub only the index is fetched, never the weights.
    """
    hub = HubOptions(revision=options.revision, local_files_only=options.local_files_only)
    halves = dict.fromkeys(
        resolve_model(options.subject, part, hub, ()) for part in ("prior", "decoder")
    )  # one folder, unless the model's folder holds both
    found: dict[str, Any] = {"model": options.subject}
    for folder in halves:
        checkpoint = Checkpoint.open(folder, name=options.subject)
        components = {name: _describe(part) for name, part in checkpoint.components.items()}
        prior = connected_prior(folder)
        named = {"connected_prior": prior} if prior else {}
        found[checkpoint.pipeline_class] = {**named, **components}
    return found


def _describe(component: Component) -> dict[str, Any]:
    found: dict[str, Any] = {"class": component.class_name}
    if not component.folder.is_dir():
        return {**found, "files": "not on this machine"}
    if not any(component.folder.glob("*.safetensors*")):
        return found
    tensors = component.tensors()
    specs = [tensors.spec(name) for name in tensors.names()]
    return {
        **found,
        "tensors": len(specs),
        "parameters": sum(math.prod(shape) for shape, _ in specs),
        "dtypes": sorted({dtype for _, dtype in specs}),
    }


def _lines(data: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            text = f"{text:,}" if name in ("tensors", "parameters") else text
            lines.append(f"{indent}{name}: {text}")
    return lines
