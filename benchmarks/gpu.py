"""Measures all that is asked of one NVIDIA GPU, within ten minutes, into one table.

    python -m benchmarks.gpu --json gpu.json

Each part is a process of its own with a limit of its own, and the figures are written down after
each one. What the time does not suffice for is listed as such, so the parts that tell most come
first: `kandinsky verify`, a guided UNet step in bfloat16 at the first size, prompt to picture in 50
steps, a restart, then the other sizes. The step runs with cuDNN's attention, without it, and in
diffusers, where that is installed with a PyTorch that sees the GPU. `--anyway` takes a machine
without a GPU too, to try the script.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.turns import machine, write_json
from benchmarks.whole_model import MODELS, write_model

# What is asked before anything else; a process of its own, as PyTorch would keep memory here.
_DEVICES = """
import json, jax
from importlib.metadata import PackageNotFoundError, version
device = jax.devices()[0]
found = {"platform": device.platform, "kind": device.device_kind, "jax": jax.__version__}
found["capability"] = getattr(device, "compute_capability", None)
try:
    found["diffusers"] = version("diffusers")
    import torch
    found["torch"] = torch.__version__
    found["torch_sees_gpu"] = torch.cuda.is_available()
except (ImportError, PackageNotFoundError) as error:
    found["torch"] = f"not there: {error}"
print(json.dumps(found))
"""
_KINDS = ("verify", "step", "picture", "restart")
_UNET_SIDES = ("jax", "jax without kernels", "diffusers")
_FOLDER = "{folder}"
_FILE = "{file}"
REFERENCE = "diffusers"


@dataclass(frozen=True, slots=True)
class Part:
    """One process that measures.

    Attributes:
        name: What it measures.
        side: Who is measured.
        words: The command after `python -m`; `{file}` is where it writes its JSON, `{folder}` where
            the model lies. Without `{file}` the JSON is its output.
        limit: Seconds after which it is ended.
        figures: Takes what the table shows from its JSON.
    """

    name: str
    side: str
    words: tuple[str, ...]
    limit: float
    figures: Callable[[Any], dict[str, float]]


def _of_step(found: Any) -> dict[str, float]:
    (entry,) = found["rows"]
    (row,) = entry["sides"].values()
    names = {
        "best": "seconds_per_step",
        "median": "median",
        "first": "first",
        "compile": "compile",
        "GiB": "device_peak_gib",
    }
    return {ours: row[theirs] for ours, theirs in names.items() if row.get(theirs) is not None}


def _of_picture(found: Any) -> dict[str, float]:
    (entry,) = found["rows"]
    (row,) = entry["sides"].values()
    return {"best": row["picture"], "median": row["median"], "first": row["first"]}


def _of_restart(found: Any) -> dict[str, float]:
    return {
        "best": found["restart"]["seconds"],
        "first": found["cold"]["seconds"],
        "compile": found["cold"]["stages"]["compile"],
    }


def _of_verify(found: Any) -> dict[str, float]:
    return {}


def _of_writing(found: Any) -> dict[str, float]:
    return {"best": found["seconds"]}


def parts_of(options: argparse.Namespace, sides: Sequence[str]) -> Iterator[Part]:
    """Yield the parts in their order; `sides` are those of a UNet step that can run."""
    first, *others = options.sizes
    if "verify" in options.parts:
        words = ("kandinsky_cli.main", "verify", "--backends", "jax", "--json")
        words += ("--steps", str(min(options.steps, 20)))
        yield Part("verify", "jax", words, 150, _of_verify)
    if "step" in options.parts:
        yield from _unet_steps(options, sides, first)
    yield from _whole_model(options, sides)
    for size in others if "step" in options.parts else ():
        yield from _unet_steps(options, sides, size)


def _unet_steps(options: argparse.Namespace, sides: Sequence[str], size: int) -> Iterator[Part]:
    common = ("--cases", "unet", "--dtypes", options.dtype, "--model", options.model)
    common += ("--turns", "1", "--repeats", str(options.repeats), "--sizes", str(size))
    for side in sides:
        words = ("benchmarks", *common, "--json", _FILE, "--sides", side)
        yield Part(f"UNet step, {size} px", side, words, 120, _of_step)


def _whole_model(options: argparse.Namespace, sides: Sequence[str]) -> Iterator[Part]:
    if not {"picture", "restart"} & set(options.parts):
        return
    written = options.whole in MODELS
    if written:
        words = ("benchmarks.gpu", "--write", _FOLDER, "--whole", options.whole, "--json", _FILE)
        yield Part("writing the model", "", words, 120, _of_writing)
    model = ("--model", _FOLDER if written else options.whole)
    model += ("--size", str(options.sizes[0])) if written else ()
    if "picture" in options.parts:
        steps = ("--steps", str(options.steps), "--prior-steps", str((options.steps + 1) // 2))
        steps += ("--dtypes", options.dtype, "--turns", "1", "--json", _FILE)
        for side in (side for side in sides if side in ("jax", REFERENCE)):
            words = ("benchmarks.end_to_end", *model, *steps, "--sides", side)
            yield Part(f"picture in {options.steps} steps", side, words, 150, _of_picture)
    if "restart" in options.parts:
        more = ("--dtype", options.dtype, "--steps", "2", "--turns", "1", "--json")
        yield Part("restart", "jax", ("benchmarks.restart", *model, *more), 150, _of_restart)


def run_part(part: Part, folder: Path, seconds: float) -> dict[str, Any]:
    """Run a part within so many seconds, and return its state and its figures.

    Its processes are ended together, those that it started among them.
    """
    file = folder / "part.json"
    file.unlink(missing_ok=True)
    places = {_FILE: str(file), _FOLDER: str(folder / "model")}
    command = [sys.executable, "-m", *(places.get(word, word) for word in part.words)]
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=seconds)
        state = "failed" if process.returncode else "done"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
        state = "out of time"
    found: dict[str, Any] = {"name": part.name, "side": part.side, "command": command[1:]}
    found |= {"state": state, "wall": round(time.perf_counter() - start, 1)}
    text = file.read_text("utf-8") if _FILE in part.words and file.exists() else out
    if state != "done":
        return found | {"output": out[-4000:], "errors": errors[-4000:]}
    found["found"] = json.loads(text)
    return found | {"figures": part.figures(found["found"])}


def measure(options: argparse.Namespace, sides: Sequence[str], about: dict[str, Any]) -> Any:
    """Run all parts, and write down after each what is known."""
    start = time.monotonic()
    result: dict[str, Any] = {"about": about, "machine": machine(), "parts": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for part in parts_of(options, sides):
            left = options.budget - (time.monotonic() - start)
            if left < min(options.least, part.limit):
                result["parts"].append({"name": part.name, "side": part.side, "state": "not begun"})
            else:
                limit = min(left, options.patience * part.limit)
                result["parts"].append(run_part(part, Path(name), limit))
                sys.stderr.write(_line(result["parts"][-1], None))
            write_json(options.json, result)
    return result


def table(result: dict[str, Any]) -> str:
    """Return the table of all parts; ratios are to diffusers in the same part."""
    references = {
        part["name"]: part["figures"]["best"]
        for part in result["parts"]
        if part["side"] == REFERENCE and "figures" in part
    }
    about = ", ".join(f"{name} {value}" for name, value in result["about"].items())
    head = f"{about}\n{'':<24}{'':<22}{'best':>9}{'median':>9}{'first':>8}{'compile':>8}{'GiB':>7}"
    lines = [_line(part, references.get(part["name"])) for part in result["parts"]]
    return f"{head}  ratio\n{''.join(lines)}"


def _line(part: dict[str, Any], reference: float | None) -> str:
    figures, words = part.get("figures", {}), f"{part['name']:<24}{part['side']:<22}"
    if part["state"] != "done":
        return f"{words}{part['state']}\n"
    wanted = (("best", 9, 3), ("median", 9, 3), ("first", 8, 1), ("compile", 8, 1), ("GiB", 7, 1))
    for name, width, digits in wanted:
        words += f"{figures[name]:{width}.{digits}f}" if name in figures else " " * width
    if reference and "best" in figures:
        words += f"{figures['best'] / reference:7.2f}"
    return f"{words if figures else words.rstrip() + ': passed'}\n"


def _devices() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", _DEVICES], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("JAX does not start: see above")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _sides(about: dict[str, Any], wanted: Sequence[str]) -> list[str]:
    """Return the sides that can run; PyTorch has to see the GPU that JAX sees."""
    fair = about.get("torch_sees_gpu") == (about["platform"] == "gpu")
    return [side for side in wanted if side != REFERENCE or fair]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--budget", type=float, default=570, help="seconds for all parts (570)")
    parser.add_argument(
        "--least", type=float, default=20, help="no part begins with fewer seconds left (20)"
    )
    parser.add_argument(
        "--patience", type=float, default=1, metavar="X", help="times the limit of each part (1)"
    )
    parser.add_argument("--model", default="2.2", choices=("2.2", "shapes"), help="of the UNet")
    parser.add_argument(
        "--whole", default="medium", choices=(*MODELS, "shapes"), help="from prompt to picture"
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[512, 1024, 768], metavar="PX")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16"))
    parser.add_argument("--steps", type=int, default=50, help="from prompt to picture (50)")
    parser.add_argument("--repeats", type=int, default=10, help="timed UNet steps (10)")
    parser.add_argument(
        "--sides", nargs="+", default=list(_UNET_SIDES), choices=_UNET_SIDES, metavar="SIDE"
    )
    parser.add_argument("--parts", nargs="+", default=list(_KINDS), choices=_KINDS, metavar="PART")
    parser.add_argument("--folder", type=Path, help="where the model is written (temporary)")
    parser.add_argument("--anyway", action="store_true", help="run without a GPU too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Write the model (in a child process), or run all parts and print the table."""
    options = _arguments()
    if options.write:
        start = time.perf_counter()
        options.write.mkdir()
        write_model(options.whole, options.write)
        write_json(options.json, {"seconds": time.perf_counter() - start})
        return
    about = _devices()
    if about["platform"] != "gpu" and not options.anyway:
        raise SystemExit(f"JAX sees no GPU but a {about['platform']}: --anyway runs all the same")
    result = measure(options, _sides(about, options.sides), about)
    sys.stdout.write(table(result))


if __name__ == "__main__":
    main()
