"""The command `kandinsky convert`, which converts a model's weights or checks a conversion."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kandinsky_cli.console import write_json, write_line
from kandinsky_cli.loudness import add_loudness_options
from kandinsky_cli.option_types import path
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.terminal import printable

if TYPE_CHECKING:
    from kandinsky_converters.convert import Conversion
    from kandinsky_core.checkpoints.hub import HubOptions

__all__ = ["add_parser", "print_check", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "convert",
        usage="kandinsky convert SOURCE --to LAYOUT --output DIR [options]\n"
        "       kandinsky convert SOURCE --check DIR",
        help="convert weights between diffusers, JAX, MindSpore and the original files",
        description="Convert a model's weights, account for every tensor, and write a report, "
        "conversion.json, beside them; or compare an earlier conversion with its source.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a hub id, a model folder, an earlier conversion, `shapes`, or ai-forever's original "
        "files of Kandinsky 2.1, 3.0 and 3.1 or a folder of them",
    )
    parser.add_argument(
        "--to", metavar="LAYOUT", help="layout to write: diffusers, jax or mindspore"
    )
    parser.add_argument("--output", type=path, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--check", type=path, metavar="DIR", help="compare this conversion with SOURCE instead"
    )
    parser.add_argument(
        "--dtype",
        help="dtype to write: float32, bfloat16 or float16 (default: as stored; MoVQ stays "
        "float32)",
    )
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME",
        help="convert only this component, `unet` for example; may be given several times",
    )
    parser.add_argument(
        "--part",
        help="the model to make from original files: decoder or inpaint of Kandinsky 2.0; "
        "decoder, flash or inpaint of Kandinsky 3; upscaler, upscaler_x2 or upscaler_flash of "
        "KandiSuperRes",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--variant", help="infix of the weight files, fp16 for example")
    parser.add_argument(
        "--local-files-only", action="store_true", help="use cached files, never the network"
    )
    add_loudness_options(parser)


def run(options: argparse.Namespace) -> int:
    """Convert and print the report, or compare and return 1 where something differs.

    Raises:
        KandinskyError: See `kandinsky_converters.convert.convert`.
    """
    from kandinsky_converters.convert import convert
    from kandinsky_core.checkpoints.hub import HubOptions

    hub = HubOptions.among(vars(options))
    if options.check is not None:
        if options.to or options.output:
            raise InvalidInputError("--check compares and writes nothing: leave --to, --output out")
        return print_check(
            options.source, options.check, hub, part=options.part, as_json=options.json
        )
    if options.to is None or options.output is None:
        raise InvalidInputError("give --to LAYOUT and --output DIR, or --check DIR")
    with _progress(hidden=options.quiet) as on_tensor:
        done = convert(
            options.source,
            options.to,
            options.output,
            dtype=options.dtype,
            components=options.component,
            options=hub,
            part=options.part,
            on_tensor=on_tensor,
        )
    if options.json:
        table = {name: json.loads(found.as_json()) for name, found in done.items()}
        write_json(table)
    elif options.quiet:
        write_line(str(options.output))
    else:
        for name, found in done.items():
            for line in _lines(name, found):
                write_line(line)
        write_line(f"{options.output}  converted to {options.to}")
    return 0


def print_check(
    source: str, converted: Path, hub: HubOptions, *, part: str | None = None, as_json: bool
) -> int:
    """Compare a conversion with its source, print the differences, and return 1 if there are any.

    Raises:
        KandinskyError: One of them cannot be read.
    """
    from kandinsky_converters.check import check

    differences = list(check(source, converted, options=hub, part=part))
    if as_json:
        found = {"passed": not differences, "differences": differences}
        write_json(found)
    else:
        for line in differences:
            write_line(line)
        count = f"{len(differences)} difference{'s' if len(differences) > 1 else ''}"
        verdict = count if differences else "equal bit for bit"
        write_line(f"{converted} against {source}: {verdict}")
    return 1 if differences else 0


def _lines(half: str, conversion: Conversion) -> Iterator[str]:
    for name, record in conversion.components.items():
        place = f"{half}/{name}" if half else name
        known = f", published as {record.known}" if record.known else ""
        exact = ", exactly the published file" if record.published else ""
        yield (
            f"{place}: {record.used} of {record.source_tensors} tensors used, {record.tensors} "
            f"written, {record.parameters:,} parameters, {' and '.join(record.dtypes)}"
            f"{known}{exact}"
        )
        for tensor, reason in record.ignored.items():
            yield f"  ignored {tensor}: {reason}"


class _progress:
    """A progress bar of bytes that shows on a terminal only, and not at all where it is hidden."""

    def __init__(self, *, hidden: bool) -> None:
        self._disable = True if hidden else None

    def __enter__(self) -> Any:
        from tqdm.auto import tqdm

        self._bar = tqdm(unit="B", unit_scale=True, disable=self._disable)

        def on_tensor(component: str, size: int) -> None:
            self._bar.set_description(printable(component), refresh=False)
            self._bar.update(size)

        return on_tensor

    def __exit__(self, *_: object) -> None:
        self._bar.close()
