"""The fuzzer's command line: `python -m tools.fuzz --minutes 10`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tools.fuzz.drive import SECONDS, results
from tools.fuzz.summary import Summary, table
from tools.fuzz.table import FORMATS

__all__ = ["main"]

_SEEDS = 10_000_000  # case numbers of one --seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fuzzer.

    Returns:
        0 when every case passed, 1 when one failed.
    """
    options = _options(arguments)
    if options.case:
        name, _, seed = options.case.partition(":")
        return _run([name], int(seed), 1, 5)
    return _run(
        options.only or list(FORMATS), options.seed * _SEEDS, options.cases, options.minutes
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz",
        description="Give damaged files to this library's readers. Each case must end in what the "
        "reference reader gives, or in an error of this library: within "
        f"{SECONDS:g} seconds, within a limit of memory, and with nothing written elsewhere.",
    )
    parser.add_argument("--minutes", type=float, default=10, help="time for all formats together")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases")
    parser.add_argument(
        "--cases", type=int, default=_SEEDS, help="cases of each format at most (default: no limit)"
    )
    parser.add_argument(
        "--only", action="append", choices=list(FORMATS), help="only this format; may be repeated"
    )
    parser.add_argument("--case", metavar="FORMAT:SEED", help="run one case again, and say more")
    return parser.parse_args(arguments)


def _run(names: Sequence[str], first: int, cases: int, minutes: float) -> int:
    """Run all formats one after the other; what one leaves of its time goes to the others."""
    end, summaries = time.monotonic() + 60 * minutes, []
    for number, name in enumerate(names):
        now = time.monotonic()
        share = now + (end - now) / (len(names) - number)
        summary = Summary(name)
        summaries.append(summary)
        for result in results(name, first, cases, share):
            line = summary.add(result)
            if line is not None:
                _print(line)
            elif cases == 1:
                _print(f"{result['outcome']} {result['kind']} {result['said']} {result['how']}")
    for line in table(summaries):
        _print(line)
    return 1 if any(summary.failed for summary in summaries) else 0


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
