"""Kills commands at many moments, and checks what they leave: `python -m tools.kill`.

Half of the moments are spread over the whole run of a command. The others follow the first change
in the folder that it writes to, most of them closely, as that is where something half might stay.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["COMMANDS", "finish", "kill", "main"]

_LIMIT = 600.0  # seconds of one run
_SIZE = ("--height", "64", "--width", "64")
_STEPS = ("--steps", "2", "--prior-steps", "2", "--seed", "1")
_PROGRAMS = "cache/kandinsky"
_PICTURE = ("generate", "a red circle", *_SIZE, *_STEPS, "--output", "out/a.png")
# Less optimising: what is compiled does not matter here, and it takes most of the time.
_FLAGS = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command that is killed.

    Attributes:
        words: Its words.
        output: The folder that it writes to, below the place where it runs.
        check: Yields what is wrong with the output after a kill; nothing where there is none yet.
        clear: Makes the place ready for the next run.
        left: What may lie in the output after a run that was not killed; None allows anything.
    """

    words: Sequence[str]
    output: str
    check: Callable[[Path], Iterator[str]]
    clear: Callable[[Path], None]
    left: frozenset[str] | None


def _check_picture(place: Path) -> Iterator[str]:
    from PIL import Image

    from kandinsky_core.errors import KandinskyError
    from kandinsky_core.pictures.metadata import read_metadata

    path = place / "out" / "a.png"
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            image.load()
            size = image.size
        prompt = read_metadata(path).get("prompt")
    except (OSError, SyntaxError, KandinskyError) as error:
        yield f"a.png is not whole: {error}"
        return
    if size != (64, 64) or prompt != "a red circle":
        yield f"a.png is another picture: {size}, {prompt!r}"


def _clear_picture(place: Path) -> None:
    (place / "out" / "a.png").unlink(missing_ok=True)


def _check_conversion(place: Path) -> Iterator[str]:
    from kandinsky_converters.check import check
    from kandinsky_core.errors import KandinskyError

    made = place / "out" / "model"
    if not made.exists():
        return
    try:
        yield from check("shapes", made)
    except KandinskyError as error:
        yield f"the conversion is not whole: {error}"


def _clear_conversion(place: Path) -> None:
    shutil.rmtree(place / "out" / "model", ignore_errors=True)


def _check_programs(place: Path) -> Iterator[str]:
    from kandinsky_backend_kit.file_store import FileStore

    folder = place / _PROGRAMS
    store = FileStore(folder, 2**40)
    for path in folder.glob("*.entry"):
        if store.get(bytes.fromhex(path.stem)) is None:
            yield f"{path.name} is not whole"


def _forget_some(place: Path) -> None:
    """Remove a few compiled programs, so that the next run writes some."""
    for path in sorted((place / _PROGRAMS).glob("*.entry"))[:4]:
        path.unlink()


COMMANDS: Mapping[str, Command] = {
    "generate": Command(_PICTURE, "out", _check_picture, _clear_picture, frozenset({"a.png"})),
    "convert": Command(
        ("convert", "shapes", "--to", "jax", "--output", "out/model"),
        "out",
        _check_conversion,
        _clear_conversion,
        frozenset({"model"}),
    ),
    "warmup": Command(("warmup", *_SIZE), _PROGRAMS, _check_programs, _forget_some, None),
}
"""The commands by their names."""


def kill(name: str, moments: int, place: Path) -> Iterator[str]:
    """Kill one command at some moments.

    Args:
        name: One of `COMMANDS`.
        moments: How many times.
        place: An empty folder; `cache` in it may hold compiled programs.

    Yields:
        One line for each fault.
    """
    command = COMMANDS[name]
    (place / "out").mkdir(exist_ok=True)
    (place / _PROGRAMS).mkdir(parents=True, exist_ok=True)
    finish(command, place)  # what it compiles is there from now on
    command.clear(place)
    whole, changed = finish(command, place)
    for number in range(moments):
        command.clear(place)
        share = (number + 0.5) / moments
        if number % 2:
            ended = _killed(command, place, None, (whole - changed) * share**3)
        else:
            ended = _killed(command, place, whole * share, 0.0)
        for fault in command.check(place):
            yield f"{name}, killed at moment {number} ({ended}): {fault}"
    command.clear(place)
    yield from _after(name, place)


def _after(name: str, place: Path) -> Iterator[str]:
    """Run the command to its end, and yield what is wrong then."""
    command = COMMANDS[name]
    try:
        finish(command, place)
        _clear_picture(place)
        finish(COMMANDS["generate"], place)  # the cache of programs is as good as before
    except subprocess.CalledProcessError as error:
        yield f"{name}, run again after the kills, ended with {error.returncode}: {error.stderr}"
        return
    faults = [*command.check(place), *_check_picture(place)]
    yield from (f"{name}, run again after the kills: {fault}" for fault in faults)
    if command.left is not None:
        left = {path.name for path in (place / command.output).iterdir()} - command.left - {"a.png"}
        if left:
            yield f"{name} leaves {', '.join(sorted(left))} beside its output"


def _start(command: Command, place: Path, **streams: Any) -> subprocess.Popen[str]:
    environment = os.environ | _FLAGS | {"KANDINSKY_COMPILATION_CACHE": str(place / "cache")}
    words = [sys.executable, "-m", "kandinsky_cli.main", *command.words]
    return subprocess.Popen(words, cwd=place, env=environment, text=True, **streams)


def finish(command: Command, place: Path) -> tuple[float, float]:
    """Run a command to its end.

    Returns:
        Seconds that it took, and seconds to the first change of its output.
    """
    before, start = _names(place / command.output), time.monotonic()
    changed = None
    with tempfile.TemporaryFile("w+") as said:
        running = _start(command, place, stdout=subprocess.DEVNULL, stderr=said)
        while running.poll() is None:
            if changed is None and _names(place / command.output) != before:
                changed = time.monotonic() - start
            time.sleep(0.001)
        taken = time.monotonic() - start
        if running.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(
                running.returncode, command.words, stderr=said.read()[-2000:]
            )
    return taken, changed or taken


def _killed(command: Command, place: Path, after: float | None, delay: float) -> str:
    """Start a command and kill it.

    Args:
        command: The command.
        place: Where it runs.
        after: Seconds after its start; None waits for the first change of its output.
        delay: Seconds after that change.

    Returns:
        When it was killed, in words.
    """
    before, start = _names(place / command.output), time.monotonic()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = _start(command, place, **streams)
    try:
        if after is not None:
            time.sleep(after)
        else:
            while running.poll() is None and _names(place / command.output) == before:
                time.sleep(0.0002)
                if time.monotonic() - start > _LIMIT:
                    break
            time.sleep(delay)
        over = running.poll() is not None
    finally:
        running.kill()
        running.wait()
    when = f"{time.monotonic() - start:.2f} s"
    return f"it was over by {when}" if over else f"after {when}"


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder))  # noqa: PTH208 - the quickest, many times a second


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill the commands.

    Returns:
        0 when nothing half was left, 1 otherwise.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.kill", description="Kill commands at many moments (SIGKILL)."
    )
    parser.add_argument("--moments", type=int, default=40, help="kills in all (default: 40)")
    parser.add_argument("--only", action="append", choices=list(COMMANDS), metavar="COMMAND")
    options = parser.parse_args(arguments)
    names = options.only or list(COMMANDS)
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            moments = (number + 1) * options.moments // len(names)
            moments -= number * options.moments // len(names)
            for fault in kill(name, moments, Path(folder)):
                sys.stdout.write(f"{fault}\n")
                faults += 1
            sys.stdout.write(f"{name} was killed {moments} times\n")
            shutil.rmtree(Path(folder) / "out")
    sys.stdout.write(f"{faults} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
