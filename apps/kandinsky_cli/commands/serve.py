"""The command `kandinsky serve`, which answers requests for pictures over HTTP."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_cli.console import write_line
from kandinsky_cli.loudness import add_loudness_options
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError
from kandinsky_core.files import read_regular

if TYPE_CHECKING:
    from kandinsky_server.settings import ServerSettings

__all__ = ["add_parser", "run"]

_KEY_FILE_BYTES = 65_536
_EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="answer requests of OpenAI's clients, with a page for people",
        description="Serve pictures over HTTP as OpenAI's image API does. Without --model it "
        "serves `shapes`. The server listens for this machine alone unless --host says otherwise.",
    )
    add_serving_options(parser)
    add_adapter_options(parser)
    add_limit_options(parser)
    for name, about in (
        ("backend", "jax or mindspore (default: the one installed)"),
        ("device", "device to run on (default: the backend's choice)"),
        ("devices", "with jax: several, cuda:0,cuda:1; each makes pictures of its own"),
        ("dtype", "float32 (default), bfloat16 or float16"),
        ("quantize", "int8 keeps the weights of UNets and T5 in 8 bits, with jax"),
        ("mesh", "with jax: how many devices share the work, data=4,model=2 for example"),
        ("revision", "branch, tag or commit of the models on the hub"),
        ("variant", "infix of the weight files, fp16 for example"),
    ):
        parser.add_argument(f"--{name}", help=about)
    parser.add_argument("--offload", action="store_true", help="keep weights in host memory")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use cached files, never the network"
    )
    add_loudness_options(parser)


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is served, where and to whom."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="[NAME=]MODEL",
        help="`shapes` (the default), a folder or a hub id; several times for several. Clients "
        "give the name",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (8000)")
    parser.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="a key that clients must give, or @FILE with one a line; also KANDINSKY_API_KEY",
    )
    parser.add_argument(
        "--no-auth", action="store_true", help="let other machines in without a key"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web site whose pages may use the server, https://example.org for example",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="keep jobs there, so that a restart goes on with them (default: in memory)",
    )
    parser.add_argument(
        "--warm",
        action="append",
        metavar="TASK[@WxH]",
        help="what to compile before the server is ready (default: text2image)",
    )
    parser.add_argument(
        "--batch-sizes",
        default="1",
        metavar="N,N",
        help="how many pictures are made at once; 1,2,4 suits accelerators (default: 1)",
    )


def add_adapter_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that put adapters and ControlNets beside the models."""
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="NAME=PATH[@MODEL]",
        help="an adapter that requests name with a scale: a file, a folder or a hub id; MODEL is a "
        "name of --model (the first one)",
    )
    parser.add_argument(
        "--controlnet",
        action="append",
        default=[],
        metavar="[MODEL=]BRANCH",
        help="a ControlNet beside a model of Kandinsky 3: a folder or a hub id",
    )


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that bound requests and what is kept."""
    parser.add_argument(
        "--cold-shapes",
        choices=("compile", "reject"),
        default="compile",
        help="what to do with sizes that are not compiled yet (default: compile)",
    )
    for name, kind, default, about in (
        ("max-queue", int, 64, "requests that may wait"),
        ("max-n", int, 10, "pictures of one request"),
        ("max-loaded", int, None, "models that may be loaded at once (as many as memory holds)"),
        ("max-pixels", int, None, "pixels of a picture (1,048,576 on a CPU, else 4,194,304)"),
        ("request-timeout", float, 300.0, "seconds that a request may take"),
        ("header-timeout", float, 10.0, "seconds for a request's headers to arrive"),
        ("body-timeout", float, 60.0, "seconds for its body to arrive"),
        ("max-connections", int, 1000, "connections at once"),
        ("drain-delay", float, 5.0, "seconds in which an ending server still listens"),
        ("drain-timeout", float, 60.0, "seconds for the running batch to end"),
        ("keep-hours", float, 24.0, "hours that finished jobs are kept"),
    ):
        shown = about if default is None else f"{about} ({default:g})"
        parser.add_argument(f"--{name}", type=kind, default=default, metavar="N", help=shown)
    parser.add_argument(
        "--ignore-unknown-fields",
        action="store_true",
        help="warn of unknown fields in place of refusing them",
    )
    parser.add_argument("--log-prompts", action="store_true", help="write prompts into the log")


def run(options: argparse.Namespace) -> None:
    """Serve until a signal ends it.

    Raises:
        InvalidInputError: An option is wrong, or the address is taken.
        BackendUnavailableError: The packages of a server are not installed.
    """
    _require_extra()
    from kandinsky_server.server import KandinskyServer

    server = KandinskyServer(_settings(options))
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of each device that is not there
    logging.getLogger("kandinsky_server").setLevel(
        logging.WARNING if options.quiet else logging.INFO
    )
    write_line(f"{server.url}  models: {', '.join(server.settings.models)}")
    sys.stdout.flush()
    server.run()


def _require_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in _EXTRA):
        raise BackendUnavailableError(
            "kandinsky serve needs packages of its own: pip install 'kandinsky-anywhere[server]'"
        )


def _settings(options: argparse.Namespace) -> ServerSettings:
    from kandinsky_server.settings import ServerSettings

    loading = {
        name: getattr(options, name)
        for name in ("backend", "device", "dtype", "quantize", "mesh", "revision", "variant")
        if getattr(options, name) is not None
    }
    if options.offload:
        loading["offload"] = True
    if options.local_files_only:
        loading["local_files_only"] = True
    models = _models(options.model or ["shapes"])
    return ServerSettings(
        models=models,
        loras=_loras(options.lora, models),
        branches=_branches(options.controlnet, models),
        host=options.host,
        port=options.port,
        api_keys=_keys(options.api_key),
        allow_no_auth=options.no_auth,
        origins=tuple(options.allow_origin),
        state_dir=options.state_dir,
        loading=loading,
        devices=tuple((options.devices or "").split(",")) if options.devices is not None else (),
        warm_shapes=tuple(_warm(text) for text in options.warm or ["text2image"]),
        batch_sizes=_numbers("--batch-sizes", options.batch_sizes),
        cold_shapes=options.cold_shapes == "compile",
        max_queue=options.max_queue,
        max_n=options.max_n,
        max_loaded=options.max_loaded,
        max_pixels=options.max_pixels,
        request_timeout=options.request_timeout,
        header_timeout=options.header_timeout,
        body_timeout=options.body_timeout,
        max_connections=options.max_connections,
        drain_delay=options.drain_delay,
        drain_timeout=options.drain_timeout,
        keep_hours=options.keep_hours,
        ignore_unknown_fields=options.ignore_unknown_fields,
        log_prompts=options.log_prompts,
    )


def _models(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, model = word.partition("=")
        if not equals:
            name, model = (Path(word).name if Path(word).is_dir() else word), word
        if not name or not model:
            raise InvalidInputError(f"--model {word}: give MODEL, or NAME=MODEL")
        if name in found:
            raise InvalidInputError(f"--model {word}: the name {name} is taken: give NAME=MODEL")
        found[name] = model
    return found


def _loras(words: list[str], models: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for word in words:
        name, _, path = word.partition("=")
        before, at, model = path.rpartition("@")
        if at and model in models:  # any other `@` is a part of the path
            path = before
        else:
            model = next(iter(models))
        if not name or not path:
            raise InvalidInputError(f"--lora {word}: give NAME=PATH, or NAME=PATH@MODEL")
        if name in found.setdefault(model, {}):
            raise InvalidInputError(f"--lora {word}: {model} has an adapter {name} already")
        found[model][name] = path
    return found


def _branches(words: list[str], models: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        model, equals, branch = word.partition("=")
        if not equals or model not in models:
            model, branch = next(iter(models)), word
        if not branch or model in found:
            raise InvalidInputError(f"--controlnet {word}: give one BRANCH, or MODEL=BRANCH each")
        found[model] = branch
    return found


def _keys(words: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for word in [*words, *filter(None, [os.environ.get("KANDINSKY_API_KEY")])]:
        if not word.startswith("@"):
            found.append(word)
            continue
        try:
            text = read_regular(word[1:], _KEY_FILE_BYTES).decode()
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                f"--api-key {word}: the file cannot be read: {error}"
            ) from error
        found += text.split()
    return tuple(found)


def _warm(text: str) -> tuple[str, int | None, int | None]:
    task, at, size = text.partition("@")
    width, times, height = size.partition("x")
    numbers = width.isdecimal() and height.isdecimal() and bool(times)
    if at and not numbers:
        raise InvalidInputError(f"--warm {text}: give TASK or TASK@WIDTHxHEIGHT")
    return (task, int(height), int(width)) if at else (task, None, None)


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise InvalidInputError(f"{flag} {text}: give numbers such as 1,2,4")
    return tuple(sorted({int(part) for part in parts}))
