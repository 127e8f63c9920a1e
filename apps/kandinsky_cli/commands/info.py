"""The command `kandinsky info`, which shows how a picture was made or what a model holds."""

from __future__ import annotations

import argparse
import itertools
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.nested_lines import nested_lines
from kandinsky_core.errors import InvalidInputError
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
        "model consists of. With --dtype, --quantize, --backend or --device also show how much of "
        "a device's memory its networks would take; none is loaded.",
    )
    parser.add_argument(
        "subject", metavar="IMAGE-or-MODEL", help="a picture, a model folder, `shapes`, a hub id"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument(
        "--dtype", help="dtype that the networks would compute in (default: float32)"
    )
    parser.add_argument(
        "--quantize",
        metavar="FORM",
        help="int8: count the weights of UNets and T5 in 8 bits (default: in the dtype)",
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


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def run(options: argparse.Namespace) -> None:
    """Print what is known about a picture or a model.

    Raises:
        KandinskyError: The subject is neither, or it is damaged.
    """
    from kandinsky_cli.model_memory import memory_lines

    memory = None
    if _is_picture(Path(options.subject)):
        data = describe_picture(Path(options.subject))
    else:
        data, memory = describe_model(options)
    if options.json:
        write_json(data if memory is None else {**data, "memory": memory})
        return
    if isinstance(data.get("command"), str):
        # The shell's own escapes stand for what a terminal would obey, so that the line still runs.
        data["command"] = " ".join(map(shell_word, shlex.split(data["command"])))
    for line in [*nested_lines(data), *([] if memory is None else memory_lines(memory))]:
        write_line(line)


def _is_picture(subject: Path) -> bool:
    """Return whether a name means a picture, which `describe_picture` reads, or else a model.

    Raises:
        InvalidInputError: It means a picture, but there is none.
    """
    if subject.is_file():
        return True
    if subject.exists() and not subject.is_dir():
        raise InvalidInputError(f"{subject} is no regular file and no folder: it is not read")
    if not subject.exists() and subject.suffix.lower() in _PICTURES:
        raise InvalidInputError(
            f"there is no picture {str(subject)!r}: give the path of a file, a model's folder, "
            "or a hub id"
        )
    return False


def describe_picture(path: Path) -> dict[str, Any]:
    """Return a picture's metadata, the command that makes it again, and warnings.

    Raises:
        InvalidInputError: The file is no picture, or it holds no metadata.
    """
    from kandinsky_cli.repeat_command import command_for
    from kandinsky_core.pictures.metadata import file_problems, is_file_record, read_metadata

    data = read_metadata(path)
    lists = [value for value in data.values() if isinstance(value, list)]
    values = [*data.values(), *itertools.chain.from_iterable(lists)]
    warnings = file_problems(filter(is_file_record, values))
    data["command"] = None
    try:
        data["command"] = command_for(data)
    except InvalidInputError as error:
        warnings.insert(0, f"no command can be told: {error}")
    data.pop("warnings", None)  # which a stranger may have written
    return {**data, "warnings": warnings} if warnings else data


def describe_model(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the contents of a model's parts, as far as they lie on this machine.

    The second value is what `describe_memory` finds, where that is asked for.

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
    asked = {name: getattr(options, name) for name in ("dtype", "quantize", "backend", "device")}
    if any(value is not None for value in asked.values()):
        return found, describe_memory(parts, hub, **asked)
    return found, None


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
