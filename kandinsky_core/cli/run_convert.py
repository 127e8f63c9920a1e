"""`kandinsky convert`: what it does. The one place of core that knows the converters."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converters.check import check
from converters.convert import Conversion, convert
from kandinsky_core.errors import InvalidInputError
from kandinsky_core.hub import HubOptions

__all__ = ["print_check", "run"]


def run(options: argparse.Namespace) -> int:
    """Convert and print the report, or compare and return 1 where something differs.

    Raises:
        KandinskyError: See `converters.convert.convert`.
    """
    hub = HubOptions.among(vars(options))
    if options.check is not None:
        if options.to or options.output:
            raise InvalidInputError("--check compares and writes nothing: leave --to, --output out")
        return print_check(
            options.source, options.check, hub, part=options.part, as_json=options.json
        )
    if options.to is None or options.output is None:
        raise InvalidInputError("give --to LAYOUT and --output DIR, or --check DIR")
    with _progress() as on_tensor:
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
        sys.stdout.write(json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    else:
        for name, found in done.items():
            sys.stdout.writelines(f"{line}\n" for line in _lines(name, found))
        sys.stdout.write(f"{options.output}  converted to {options.to}\n")
    return 0


def print_check(
    source: str, converted: Path, hub: HubOptions, *, part: str | None = None, as_json: bool
) -> int:
    """Compare a conversion with its source, print the differences, and return 1 if there are any.

    Raises:
        KandinskyError: One of them cannot be read.
    """
    differences = list(check(source, converted, options=hub, part=part))
    if as_json:
        found = {"passed": not differences, "differences": differences}
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in differences)
        count = f"{len(differences)} difference{'s' if len(differences) > 1 else ''}"
        verdict = count if differences else "equal bit for bit"
        sys.stdout.write(f"{converted} against {source}: {verdict}\n")
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
    """A bar of bytes on a terminal, nothing elsewhere."""

    def __enter__(self) -> Any:
        from tqdm.auto import tqdm

        self._bar = tqdm(unit="B", unit_scale=True, disable=None)

        def on_tensor(component: str, size: int) -> None:
            self._bar.set_description(component, refresh=False)
            self._bar.update(size)

        return on_tensor

    def __exit__(self, *_: object) -> None:
        self._bar.close()
