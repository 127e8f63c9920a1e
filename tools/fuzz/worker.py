"""Runs cases of one format in a process of its own, with limits, and tells of each case."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kandinsky_core.errors import KandinskyError
from tools.fuzz.cases.case import Case, Difference, Format, ReferenceRefusesError, seeded
from tools.fuzz.cases.letters import odd_letters
from tools.fuzz.table import FORMATS

__all__ = ["run_case"]

_LONGEST_MESSAGE = 2_000  # characters
_SHOWN = 300


def run_case(
    tested: Format,
    seed: int,
    place: Path,
    *,
    limited: bool = True,
    compared: bool = True,
    on_read: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Make, read and compare one case.

    Args:
        tested: The format.
        seed: The case's seed.
        place: An empty folder for the case's files; it is emptied again.
        limited: Whether memory is limited; `_Limits.measure` was called before.
        compared: Whether the reference is asked.
        on_read: Called when the library is done, before the reference is asked.

    Returns:
        `outcome`: `accepted`, `refused` or `failed`; `kind` of it; what was `said`; `how` the case
        was made.
    """
    case = tested.make(seeded(tested.name, seed))
    case.write(place)
    before = Path.cwd()
    os.chdir(place)
    try:
        found, result = _read(tested, case, place, limited=limited)
        on_read()
        if compared and result["outcome"] == "accepted":
            result = _compared(tested, found, case, place)
    finally:
        os.chdir(before)
        shutil.rmtree(place)
        place.mkdir()
    return {**result, "how": list(case.how)}


def _read(tested: Format, case: Case, place: Path, *, limited: bool) -> tuple[Any, dict[str, Any]]:
    try:
        with _Limits.kept() if limited else _nothing():
            found = tested.read(case, place)
    except KandinskyError as error:
        return None, _refusal(error)
    except Difference as error:
        return None, _failed("difference", str(error))
    except BaseException as error:  # noqa: BLE001 - any other class is what we look for
        return None, _failed(f"untyped {type(error).__name__}", f"{_where(error)} {error}")
    return found, {"outcome": "accepted", "kind": "", "said": ""}


def _compared(tested: Format, found: Any, case: Case, place: Path) -> dict[str, Any]:
    try:
        tested.compare(found, case, place)
    except ReferenceRefusesError as error:
        if tested.strict:
            return _failed("difference", f"the reference refuses it: {error}")
        return {"outcome": "accepted", "kind": "not by the reference", "said": str(error)}
    except Difference as error:
        return _failed("difference", str(error))
    except BaseException as error:  # noqa: BLE001 - a fault of the fuzzer, to be seen
        return _failed("fault of the fuzzer", f"{_where(error)} {error!r}")
    return {"outcome": "accepted", "kind": "", "said": ""}


def _refusal(error: KandinskyError) -> dict[str, Any]:
    """Check the message of a refusal: one line of printable characters, of bounded length."""
    said, kind = str(error), type(error).__name__
    odd = odd_letters(said)
    if odd:
        return _failed("message with control characters", f"{kind} says {odd[0]!r}: {said!r}")
    if len(said) > _LONGEST_MESSAGE:
        return _failed("message too long", f"{kind} says {len(said)} characters: {said}")
    return {"outcome": "refused", "kind": kind, "said": said}


def _failed(kind: str, said: str) -> dict[str, Any]:
    shown = said.encode("unicode_escape").decode()[:_SHOWN]
    return {"outcome": "failed", "kind": kind, "said": shown}


def _where(error: BaseException) -> str:
    """Name the last line of the library that an error went through, else the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/kandinsky_" in frame.filename]
    last = (own or frames)[-1:]
    return " ".join(f"[{Path(frame.filename).name}:{frame.lineno}]" for frame in last)


class _Limits:
    """The limit of memory, which holds while the library reads."""

    allowed = resource.RLIM_INFINITY

    @classmethod
    def measure(cls, more: int) -> None:
        """Allow what the process has now and so many bytes more."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        cls.allowed = pages * resource.getpagesize() + more

    @classmethod
    @contextmanager
    def kept(cls) -> Iterator[None]:
        """Keep the limit within the block."""
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (cls.allowed, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def main() -> None:
    """Run a range of seeds; tell the begin and the end of each on the file that was handed down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("format", choices=sorted(FORMATS))
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("place", type=Path, help="an empty folder")
    parser.add_argument("--report", type=int, required=True, metavar="FD")
    options = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tested = FORMATS[options.format]()
    tested.warm()
    place = options.place
    with os.fdopen(options.report, "w", encoding="ascii") as report:
        # The first cases import what is imported late; they run again, and are counted then.
        _Limits.measure(4 * tested.memory)
        for seed in range(options.first, options.first + min(20, options.count)):
            _tell(report, {"warming": seed})
            run_case(tested, seed, place)
        _Limits.measure(tested.memory)
        base = _peak()
        for seed in range(options.first, options.first + options.count):
            _tell(report, {"begin": seed})
            watch = _Watch(report, base)
            result = run_case(tested, seed, place, on_read=watch.read)
            _tell(report, {"end": seed, "seconds": watch.taken, "peak": watch.peak, **result})


class _Watch:
    """The time and memory of one case, without those of the reference."""

    def __init__(self, report: Any, base: int) -> None:
        self._report, self._base = report, base
        self._start, self.taken, self.peak = time.perf_counter(), 0.0, 0

    def read(self) -> None:
        """Note that the library is done; the time of the reference counts anew."""
        self.taken = time.perf_counter() - self._start
        self.peak = _peak() - self._base
        _tell(self._report, {"read": True})


def _tell(report: Any, message: Mapping[str, Any]) -> None:
    report.write(json.dumps(message) + "\n")
    report.flush()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
