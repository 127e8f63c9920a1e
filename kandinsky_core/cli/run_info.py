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
    """Return the command that makes a picture again; None where one command cannot.

    That is so for pictures made from Python that shared one generator, and for those that did not
    come from a prompt.
    """
    if "batch_size" in metadata or metadata.get("prompt") is None:
        return None
    words = ["kandinsky", "generate", metadata["prompt"]]
    for name, flag in _OPTIONS.items():
        if metadata.get(name) is not None:
            words += [flag, str(metadata[name])]
    return shlex.join(words)


def describe_model(options: argparse.Namespace) -> dict[str, Any]:
    """Return the components of a model's decoder and prior, with their sizes."""
    hub = HubOptions(revision=options.revision, local_files_only=options.local_files_only)
    folder = resolve_model(options.subject, "decoder", hub, ())
    checkpoint = Checkpoint.open(folder, name=options.subject)
    folder = resolve_model(options.subject, "decoder", hub, checkpoint.components)
    checkpoint = Checkpoint.open(folder, name=options.subject)
    components = checkpoint.require(checkpoint.components)
    return {
        "model": options.subject,
        "pipeline": checkpoint.pipeline_class,
        "prior": connected_prior(folder),
        "components": {name: _describe(component) for name, component in components.items()},
    }


def _describe(component: Component) -> dict[str, Any]:
    found: dict[str, Any] = {"class": component.class_name}
    if not any(component.folder.glob("*.safetensors")):
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
            text = f"{text:,}" if isinstance(text, int) and name != "seed" else text
            lines.append(f"{indent}{name}: {text}")
    return lines
