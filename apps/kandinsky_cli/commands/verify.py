"""The command `kandinsky verify`, which compares backends with each other or with diffusers."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.option_types import path
from kandinsky_core.errors import BackendUnavailableError, InvalidInputError

if TYPE_CHECKING:
    from kandinsky_core.checkpoints.opened_model import OpenedModel
    from kandinsky_core.verification import Comparison

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="compare backends with each other or with PyTorch diffusers",
        description="Run the same inputs through each component, and the same prompt and seed "
        "through the whole pipeline, on several backends. The exit code is 1 where a difference "
        "exceeds the tolerance.",
    )
    parser.add_argument("--model", default="shapes", help="a model, as for `generate` (shapes)")
    parser.add_argument("--prior", metavar="MODEL", help="the prior, where the model names none")
    parser.add_argument(
        "--backends", metavar="NAMES", help="backends, comma-separated (default: all installed)"
    )
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="the reference, `diffusers` or a backend (default: diffusers where it is installed "
        "and has the model, else the first of the backends)",
    )
    parser.add_argument("--dtype", default="float32", help="float32 (default), bfloat16 or float16")
    parser.add_argument(
        "--prompt", default="a large red circle on a blue background", help="prompt of the picture"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the picture (0)")
    parser.add_argument("--height", type=int, metavar="PX", help="height (default: the model's)")
    parser.add_argument("--width", type=int, metavar="PX", help="width (default: the model's)")
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="denoising steps of the picture (default: 20, Flash 4); a prior takes 10",
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use cached files, never the network"
    )
    parser.add_argument(
        "--converted",
        metavar="DIR",
        type=path,
        help="compare only the weights of DIR, which `kandinsky convert` made, with --model",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


_REFERENCE = "diffusers"


def run(options: argparse.Namespace) -> int:
    """Compare, print, and return 1 where a tolerance is exceeded.

    Raises:
        KandinskyError: A backend, the model or an option is not there.
    """
    from kandinsky_cli.commands.convert import print_check
    from kandinsky_core.checkpoints.hub import HubOptions
    from kandinsky_core.seam.dtypes import dtype_name
    from kandinsky_core.validation import positive_int
    from kandinsky_core.verification import compare

    if options.converted is not None:
        hub = HubOptions.among(vars(options))
        return print_check(options.model, options.converted, hub, as_json=options.json)
    dtype = dtype_name(options.dtype)
    if options.steps is not None:
        positive_int("--steps", options.steps)
    wanted = _wanted(options.backends)
    named = [] if options.against is None else [options.against]
    libraries = {name: _library(name) for name in dict.fromkeys([*named, *wanted])}
    halves, made = _open(options)
    lacking = made.verified.lacking(halves["decoder"])
    against = _reference(options, wanted, lacking)
    if against not in libraries:
        libraries[against] = _library(against)
    if options.steps is None:
        options.steps = made.verified.steps
    # One model at a time is in memory; the outputs of the reference stay as arrays.
    expected, given = _results(options, libraries[against], halves, None)
    rows: list[Comparison] = []
    peers = against != _REFERENCE
    for name in [name for name in wanted if name != against]:
        got, _ = _results(options, libraries[name], halves, given)
        rows += [
            compare(part, name, against, got[part], expected[part], dtype, peers=peers)
            for part in got
        ]
    versions = {name: dict(library.report().versions) for name, library in libraries.items()}
    _print(options, rows, versions)
    return 0 if all(row.passed for row in rows) else 1


def _wanted(backends: str | None) -> list[str]:
    """Return the backends that the option names, by default all that are installed."""
    from kandinsky_core.seam.registry import available_backends, get_backend

    if backends is None:
        return available_backends() or [get_backend().name]  # the error says what to install
    wanted = list(dict.fromkeys(name.strip() for name in backends.split(",")))
    if not all(wanted):
        raise InvalidInputError(f"--backends {backends!r} has an empty name: leave it out")
    return wanted


def _reference(options: argparse.Namespace, wanted: Sequence[str], lacking: str | None) -> str:
    """Return what the backends are compared with, by default diffusers where it has the model.

    Args:
        options: The command's options.
        wanted: The backends to compare; the reference may be one of them.
        lacking: What diffusers lacks to run the model, or None.

    Raises:
        InvalidInputError: diffusers is asked for and lacks something, or there is no other backend.
    """
    from kandinsky_core.seam.registry import backend_names

    against: str | None = options.against
    if against == _REFERENCE and lacking is not None:
        raise InvalidInputError(
            f"--against {_REFERENCE}: it has no {lacking}; name a backend in its place, {wanted[0]}"
        )
    if against is None:
        usable = lacking is None and _has_reference()
        against = _REFERENCE if usable else wanted[0]
    if any(name != against for name in wanted):
        return against
    extras = [name for name in backend_names() if name != against]
    way = ""
    if lacking is None and against != _REFERENCE:
        extras.append("test")
        way = f", or --against {_REFERENCE}"
    elif lacking is not None:
        way = f" ({_REFERENCE} has no {lacking})"
    raise InvalidInputError(
        f"{against} alone has nothing to be compared with: name another by --backends{way}; what "
        "is missing comes with "
        + " or ".join(f"pip install 'kandinsky-anywhere[{extra}]'" for extra in extras)
    )


def _has_reference() -> bool:
    from kandinsky_core.seam.registry import get_reference

    try:
        get_reference(_REFERENCE)
    except BackendUnavailableError:
        return False
    return True


def _library(name: str) -> Any:
    from kandinsky_core.seam.registry import get_backend, get_reference

    return get_reference(name) if name == _REFERENCE else get_backend(name)


def _open(options: argparse.Namespace) -> tuple[dict[str, OpenedModel], Any]:
    """Open the model, once for all backends, and check the options of the picture.

    Returns:
        `decoder`, and `prior` where the model has two halves that lie apart; and the class of its
        pipeline.

    Raises:
        InvalidInputError: A prior is given for a model that has none, or an option is of the wrong
            range.
        KandinskyError: A half cannot be found, or its index is damaged.
    """
    from kandinsky_cli.steps_options import check_steps
    from kandinsky_core.checkpoints.hub import HubOptions
    from kandinsky_core.checkpoints.opened_model import OpenedModel
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
    from kandinsky_core.pipelines.kandinsky2_2.two_halves import (
        CombinedPipeline,
        find_prior,
        holds_prior,
    )

    _check_words(options)
    hub = HubOptions.among(vars(options))
    part = AutoPipelineForText2Image.part
    decoder = OpenedModel.of(options.model, part, hub)
    made = AutoPipelineForText2Image.pipeline_class(decoder)
    check_steps(options, decoder)
    if not issubclass(made, CombinedPipeline):
        if options.prior is not None:
            raise InvalidInputError(f"--prior: {options.model} has no prior, leave it out")
        return {"decoder": decoder}, made
    if options.prior is None and holds_prior(decoder.checkpoint):
        return {"decoder": decoder}, made
    prior = options.prior or find_prior(decoder.checkpoint, part)
    of_prior = OpenedModel.of(prior, "prior", replace(hub, revision=None))
    return {"decoder": decoder, "prior": of_prior}, made


def _check_words(options: argparse.Namespace) -> None:
    from kandinsky_core.denoising.noise import as_generators
    from kandinsky_core.texts.prompts import Prompts
    from kandinsky_core.validation import positive_int

    given = vars(options)
    for name in ("height", "width"):
        if given.get(name) is not None:
            positive_int(f"--{name}", given[name])
    Prompts.check(given.get("prompt", ""), name="--prompt")
    as_generators(None, given.get("seed"), 1)


def _results(
    options: argparse.Namespace, library: Any, halves: Mapping[str, OpenedModel], given: Any
) -> tuple[dict[str, Any], Any]:
    """Run one backend: each component on `given` inputs, then the whole pipeline."""
    from kandinsky_core.pipelines.auto import AutoPipelineForText2Image
    from kandinsky_core.verification import PICTURE, outputs

    own = library.name == _REFERENCE
    pipeline: Any = AutoPipelineForText2Image.from_pretrained(
        halves["decoder"],
        backend=library,
        dtype=options.dtype,
        # Backends keep to what they usually do, which needs less memory.
        text_encoder_loading="resident" if own else None,
        **({"prior": halves["prior"]} if "prior" in halves else {}),
    )
    pipeline.set_progress_bar_config(disable=True)
    parts = pipeline.verified(pipeline)
    call = parts.call(options.prompt, options.height, options.width, options.steps)
    given = given or parts.inputs(call)
    found = dict(outputs(parts.runs(), given))
    if own:
        # diffusers makes the picture with its own pipeline, schedulers, tokenizer, random numbers
        folders = {part: model.folder for part, model in halves.items()}
        name = type(pipeline).__name__
        pictures = library.pictures(name, folders, pipeline.networks, options.seed, **call)
    else:
        pictures = pipeline(**call, seed=options.seed, output_type="np").images
    found[PICTURE] = (pictures,)
    del pipeline, parts
    gc.collect()
    return found, given


def _print(
    options: argparse.Namespace,
    rows: Sequence[Comparison],
    versions: dict[str, dict[str, str]],
) -> None:
    """Print the table or JSON; `versions` holds the packages of each library."""
    first = next((row for row in rows if not row.passed), None)
    if options.json:
        found = {
            "passed": first is None,
            "first": first and {"component": first.component, "backend": first.backend},
            "model": options.model,
            "dtype": options.dtype,
            "versions": versions,
            "rows": [asdict(row) | {"passed": row.passed} for row in rows],
        }
        write_json(found)
        return
    write_line(f"{'component':<16}{'backend':<11}{'max abs':>9}{'relative':>10}{'PSNR':>7}")
    for row in rows:
        psnr = "" if row.psnr is None else f"{row.psnr:.1f}"
        line = (
            f"{row.component:<16}{row.backend:<11}{row.max_abs:>9.1e}{row.relative:>10.1e}{psnr:>7}"
        )
        mark = "" if row.passed else f"  exceeds {row.tolerance:g}"
        write_line(f"{line.rstrip()}{mark}")
    packages = [f"{name} {number}" for name, number in versions[rows[0].reference].items()]
    verdict = "all within tolerance"
    if first is not None:
        verdict = f"first to differ: {first.component} on {first.backend}"
    write_line(f"against {rows[0].reference} ({', '.join(packages)}): {verdict}")
